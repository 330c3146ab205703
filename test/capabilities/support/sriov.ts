/**
 * A host with PFs, and programs on it that make system calls: a network card on one bus and an NVMe controller on the next.
 *
 * Rule: a call answers its value, or the errno.
 */
import type { Process } from '@vfiolab/client';
import { TestHost } from '@vfiolab/sim';
import * as uapi from '@vfiolab/uapi';

export const [PF, VF] = ['0000:01:00.0', '0000:01:10.0'];

const port = (bdf: string, bus: number) => ({
  ...{ bdf, vendor: '0x1b36', device: '0x000c', class: '0x060400', header_type: 1, pcie_type: 'root_port' },
  ...{ primary_bus: 0, secondary_bus: bus, subordinate_bus: bus, acs: { offset: 328, cap: 95, ctrl: 29 } },
});

const window = (index: number, vf: boolean) => ({ index, kind: 'mem', bits: 64, prefetchable: true, size: 32768, vf });

const card = {
  ...{ bdf: PF, vendor: '0x8086', device: '0x10c9', class: '0x020000', pcie_type: 'endpoint', driver: 'igb' },
  bars: [window(0, false), window(0, true)],
  sriov: { initial: 7, total: 7, num: 0, offset: 128, stride: 2, vf_device: '0x10ca' },
  vf: { driver: 'igbvf' },
};

const MACHINE = JSON.stringify({ format: 'pci-topology-fixture/1', functions: [port('0000:00:01.0', 1), card] });

const value = <T>(r: uapi.Result<T>): T | string => (r.ok ? r.value : r.errno);

export class SriovHost {
  private constructor(
    readonly host: TestHost,
    readonly root: Process,
  ) {}

  static async boot(profile: string, seed = 0): Promise<SriovHost> {
    const host = await TestHost.boot({ machine: MACHINE, profile, seed });
    return new SriovHost(host, await host.process('root'));
  }

  async write(path: string, data: string): Promise<number | string> {
    return value(await this.host.run(this.root.sysfsWrite(path, data)));
  }

  numVfs(count: number): Promise<number | string> {
    return this.write(`/sys/bus/pci/devices/${PF}/sriov_numvfs`, String(count));
  }

  async read(bdf: string, file: string): Promise<string> {
    return value(await this.host.run(this.root.sysfsRead(`/sys/bus/pci/devices/${bdf}/${file}`)));
  }

  async link(bdf: string, name: string): Promise<string> {
    const target = value(await this.host.run(this.root.readlink(`/sys/bus/pci/devices/${bdf}/${name}`)));
    return target.replace(/.*\//, '');
  }

  async functions(): Promise<string[]> {
    return value(await this.host.run(this.root.listdir('/sys/bus/pci/devices'))) as string[];
  }

  async toVfio(bdf: string): Promise<void> {
    await this.write(`/sys/bus/pci/devices/${bdf}/driver/unbind`, bdf);
    await this.write(`/sys/bus/pci/devices/${bdf}/driver_override`, 'vfio-pci');
    await this.write('/sys/bus/pci/drivers_probe', bdf);
  }

  /** The PF in the hands of vfio-pci, with VFs. */
  async userPf(count: number): Promise<void> {
    await this.toVfio(PF);
    await this.write('/sys/module/vfio_pci/parameters/enable_sriov', '1');
    await this.numVfs(count);
  }

  /** A program with a container that has the group of the function in it. */
  async opener(name: string, bdf: string): Promise<Opener> {
    const p = await this.host.process(name);
    const open = async (path: string) => value(await this.host.run(p.open(path))) as number;
    const group = await open(`/dev/vfio/${await this.link(bdf, 'iommu_group')}`);
    const container = await open('/dev/vfio/vfio');
    await this.host.run(p.ioctlPlain(group, uapi.VFIO_GROUP_SET_CONTAINER, container));
    await this.host.run(p.ioctlPlain(container, uapi.VFIO_SET_IOMMU, uapi.VFIO_TYPE1v2_IOMMU));
    return new Opener(this, p, bdf, group);
  }
}

/** A program that opens one function, by its group or its cdev. */
export class Opener {
  constructor(
    private readonly on: SriovHost,
    readonly p: Process,
    private readonly bdf: string,
    private readonly group: number,
  ) {}

  /** 'fd', or the errno; `keep`: the file stays open. */
  async byGroup(uuid?: string, keep = false): Promise<string> {
    const name = uuid === undefined ? this.bdf : `${this.bdf} vf_token=${uuid}`;
    const { ret, errno } = await this.on.host.run(this.p.ioctlPlain(this.group, uapi.VFIO_GROUP_GET_DEVICE_FD, name));
    if (errno) return errno;
    this.fd = ret;
    if (!keep) await this.close();
    return 'fd';
  }

  fd = -1;

  close(): Promise<unknown> {
    return this.on.host.run(this.p.close(this.fd));
  }

  /** Its config space's first bytes, in hex. */
  async header(length: number): Promise<string> {
    const got = value(await this.on.host.run(this.p.pread(this.fd, 7 * 2 ** 40, length)));
    return typeof got === 'string' ? got : Buffer.from(got).toString('hex');
  }

  setToken(uuid: string): Promise<{ readonly errno?: string | undefined }> {
    const tail = Buffer.from(uuid.replaceAll('-', ''), 'hex');
    const flags = (1 << 17) | uapi.VFIO_DEVICE_FEATURE_PCI_VF_TOKEN;
    return this.on.host.run(this.p.ioctl(this.fd, uapi.VFIO_DEVICE_FEATURE, { argsz: 24, flags }, { tail }));
  }

  exit(): Promise<unknown> {
    return this.on.host.run(this.p.exit());
  }
}
