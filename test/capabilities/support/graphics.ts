/** A host with graphics devices on vfio-pci, and a program that opens them by their cdevs. */
import { type Process } from '@vfiolab/client';
import { TestHost } from '@vfiolab/sim';
import * as uapi from '@vfiolab/uapi';

export const [IGD, NVIDIA, HEADLESS, ENGINE] = ['0000:00:02.0', '0000:00:03.0', '0000:00:04.0', '0000:00:05.0'];
export const [HOST_BRIDGE, LPC] = ['0000:00:00.0', '0000:00:1f.0'];

const window = { index: 0, kind: 'mem', bits: 32, prefetchable: false, size: 65536 };
const graphics = (bdf: string, vendor: string, code: string) => ({
  ...{ bdf, vendor, device: '0x1912', class: code, header_type: 0, driver: 'vfio-pci', bars: [window] },
});
const bridge = (bdf: string, device: string, code: string) => ({
  ...{ bdf, vendor: '0x8086', device, class: code, revision: '0x07', header_type: 0 },
});

/** Where the firmware put the OpRegion. */
export const ADDRESS = 0x7a5b3018;
const OPREGION_BYTES = 8192;

/** Config space of an Intel graphics device; INTx is all it has. */
function igdConfig(address = ADDRESS): string {
  const config = new Uint8Array(256);
  const view = new DataView(config.buffer);
  view.setUint32(0, 0x19128086, true);
  view.setUint32(8, 0x03000006, true);
  config[0x3d] = 1;
  view.setUint32(0xfc, address, true);
  return Buffer.from(config).toString('hex');
}

export interface Opregion {
  readonly version?: number;
  readonly vbt?: Uint8Array;
  readonly vbtAddress?: bigint;
  readonly signature?: string;
}

/** As firmware leaves it in memory; `vbt`: an extended one. */
export function opregion({
  version = 0x0201,
  vbt,
  vbtAddress = 8192n,
  signature = 'IntelGraphicsMem',
}: Opregion): string {
  const memory = new Uint8Array(OPREGION_BYTES + (vbt?.length ?? 0));
  const view = new DataView(memory.buffer);
  memory.set(new TextEncoder().encode(signature));
  view.setUint32(0x10, OPREGION_BYTES / 1024, true);
  view.setUint16(0x16, version, true);
  if (vbt) {
    view.setBigUint64(0x3ba, vbtAddress, true);
    view.setUint32(0x3c2, vbt.length, true);
    memory.set(vbt, OPREGION_BYTES);
  }
  return Buffer.from(memory).toString('hex');
}

export interface GraphicsOptions {
  readonly profile?: string;
  readonly iommu?: string;
  readonly opregion?: string;
  readonly address?: number;
  readonly igdClass?: string;
  readonly hostVendor?: string;
  readonly lpc?: boolean;
}

export class GraphicsHost {
  private constructor(
    readonly host: TestHost,
    readonly p: Process,
  ) {}

  static async boot(o: GraphicsOptions = {}): Promise<GraphicsHost> {
    const functions = [
      { ...bridge(HOST_BRIDGE, '0x191f', '0x060000'), ...(o.hostVendor !== undefined && { vendor: o.hostVendor }) },
      {
        ...graphics(IGD, '0x8086', o.igdClass ?? '0x030000'),
        config: igdConfig(o.address),
        ...(o.opregion !== undefined && { opregion: o.opregion }),
      },
      graphics(NVIDIA, '0x10de', '0x030000'),
      graphics(HEADLESS, '0x10de', '0x030200'),
      graphics(ENGINE, '0x1234', '0x00ff00'),
      ...(o.lpc === false ? [] : [bridge(LPC, '0xa145', '0x060100')]),
    ];
    const machine = JSON.stringify({ format: 'pci-topology-fixture/1', functions });
    const host = await TestHost.boot({ machine, profile: o.profile ?? '7.2', iommu: o.iommu ?? 'intel-vtd' });
    return new GraphicsHost(host, await host.process('vmm'));
  }

  async must<T>(work: Promise<uapi.Result<T>>): Promise<T> {
    const r = await this.host.run(work);
    if (!r.ok) throw new Error(r.errno);
    return r.value;
  }

  /** The fd of a function with access, or the errno of BIND. */
  async open(bdf: string): Promise<number | string> {
    const [name] = await this.must(this.p.listdir(`/sys/bus/pci/devices/${bdf}/vfio-dev`));
    const fd = await this.must(this.p.open(`/dev/vfio/devices/${name}`));
    const iommufd = await this.must(this.p.open('/dev/iommu'));
    const bound = this.p.ioctl(fd, uapi.VFIO_DEVICE_BIND_IOMMUFD, { argsz: 16, iommufd });
    return (await this.host.run(bound)).errno ?? fd;
  }

  async device(bdf: string): Promise<number> {
    const fd = await this.open(bdf);
    if (typeof fd !== 'number') throw new Error(`BIND: ${fd}`);
    return fd;
  }

  async regionCount(fd: number): Promise<number> {
    return (await this.host.run(this.p.ioctl(fd, uapi.VFIO_DEVICE_GET_INFO))).out.num_regions;
  }

  /** Flags, size and the words of the capability of type 2; or the errno. */
  async region(fd: number, index: number): Promise<string | { flags: number; size: number; type: number[] }> {
    const call = this.p.ioctl(fd, uapi.VFIO_DEVICE_GET_REGION_INFO, { argsz: 64, index }, { room: 32 });
    const { errno, out, tail } = await this.host.run(call);
    if (errno) return errno;
    const reply = new Uint8Array(32 + tail.length);
    reply.set(tail, 32);
    const cap = uapi.parseChain(reply, out.cap_offset).find(({ id }) => id === uapi.VFIO_REGION_INFO_CAP_TYPE);
    const type = cap ? [...new Uint32Array(cap.body.slice(0, 8).buffer)] : [];
    return { flags: out.flags & 7, size: Number(out.size), type };
  }

  async read(fd: number, index: number, offset: number, length: number): Promise<Uint8Array | string> {
    const r = await this.host.run(this.p.pread(fd, index * 2 ** 40 + offset, length));
    return r.ok ? r.value : r.errno;
  }

  async write(fd: number, index: number, offset: number, data: Uint8Array): Promise<number | string> {
    const r = await this.host.run(this.p.pwrite(fd, index * 2 ** 40 + offset, data));
    return r.ok ? r.value : r.errno;
  }
}
