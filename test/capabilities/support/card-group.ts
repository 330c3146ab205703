/**
 * A host with one group of three: a port without ACS, and the two functions of a card behind it, of which one is on vfio-pci
 * and the other on its ordinary driver.
 *
 * Rule: calls answer a value, or the errno.
 */
import type { Process } from '@vfiolab/client';
import { TestHost, type TestHostOptions } from '@vfiolab/sim';
import { type Result, VFIO_DEVICE_BIND_IOMMUFD } from '@vfiolab/uapi';

export const [PORT, OURS, CARD] = ['0000:00:01.0', '0000:01:00.0', '0000:01:00.1'];
const inSlot = { header_type: 0, pcie_type: 'endpoint', multifunction: true, class: '0x020000' };
const window = { index: 0, kind: 'mem', bits: 32, prefetchable: false, size: 65536 };
const MACHINE = JSON.stringify({
  format: 'pci-topology-fixture/1',
  functions: [
    {
      ...{ bdf: PORT, vendor: '0x1b36', device: '0x000c', class: '0x060400', header_type: 1, pcie_type: 'root_port' },
      ...{ primary_bus: 0, secondary_bus: 1, subordinate_bus: 1, driver: 'pcieport' },
    },
    { ...inSlot, bdf: OURS, vendor: '0x1234', device: '0x11e8', driver: 'vfio-pci', bars: [window] },
    { ...inSlot, bdf: CARD, vendor: '0x8086', device: '0x10d3', driver: 'e1000e', bars: [window] },
  ],
});

const value = <T>(r: Result<T>): T | string => (r.ok ? r.value : r.errno);

export class CardHost {
  private constructor(
    readonly host: TestHost,
    readonly p: Process,
    private readonly iommufd: number,
  ) {}

  static async boot(options: Partial<TestHostOptions> = {}): Promise<CardHost> {
    const host = await TestHost.boot({ machine: MACHINE, ...options });
    const p = await host.process('vmm');
    const iommufd = value(await host.run(p.open('/dev/iommu'))) as number;
    return new CardHost(host, p, iommufd);
  }

  async write(path: string, data: string): Promise<number | string> {
    return value(await this.host.run(this.p.sysfsWrite(path.startsWith('/') ? path : `/sys/bus/pci/${path}`, data)));
  }

  async names(path: string): Promise<string[] | string> {
    return value(await this.host.run(this.p.listdir(path)));
  }

  async read(path: string): Promise<string> {
    return value(await this.host.run(this.p.sysfsRead(path)));
  }

  /** The driver's name, or the errno. */
  async driver(bdf: string): Promise<string> {
    return value(await this.host.run(this.p.readlink(`/sys/bus/pci/devices/${bdf}/driver`))).replace(/.*\//, '');
  }

  async open(path = '/dev/vfio/devices/vfio0'): Promise<number | string> {
    return value(await this.host.run(this.p.open(path)));
  }

  async bind(fd: number | string, iommufd = this.iommufd): Promise<string> {
    const bound = this.p.ioctl(fd as number, VFIO_DEVICE_BIND_IOMMUFD, { argsz: 16, iommufd });
    return (await this.host.run(bound)).errno ?? 'bound';
  }

  async close(fd: number | string): Promise<void> {
    await this.host.run(this.p.close(fd as number));
  }
}
