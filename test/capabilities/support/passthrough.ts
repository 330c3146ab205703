/**
 * A host with functions bound to vfio-pci, and a program that drives them through their cdevs.
 *
 * Rule: functions that are described without config space have what the lab makes for them: PCI Express with function
 * level reset, INTx, and 8 MSI-X vectors whose table is at the end of BAR 0.
 */
import { BUFFER_START, DMA_RUN, DMA_TO_MEMORY, REG_DMA_COMMAND, REG_DMA_SOURCE } from '@vfiolab/devices';
import type { Process } from '@vfiolab/client';
import { TestHost } from '@vfiolab/sim';
import {
  type AnyStruct,
  type Errno,
  encode,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_MAP,
  type IoctlDef,
  type Result,
  type StructOf,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
  VFIO_DEVICE_FEATURE,
  VFIO_DEVICE_SET_IRQS,
  vfio_device_feature,
} from '@vfiolab/uapi';

export const BAR_SIZE = 0x100000;
export const IO_BAR = 2;
export const MEMORY_BAR = 4;
/** File offset of a region. */
export const region = (index: number): number => index * 2 ** 40;
export const CONFIG = region(7);
export const COMMAND = CONFIG + 4;

export const MAPPED = 7;
const U32_FD = 4;

interface Described {
  readonly model?: string | undefined;
  /** Config space as a machine had it, in hex. */
  readonly config?: string | undefined;
  /** Bytes of a second memory BAR, at MEMORY_BAR. */
  readonly memory?: number | undefined;
}

const described = (bdf: string, { model, config, memory }: Described) => ({
  bdf,
  vendor: '0x1234',
  device: '0x11e8',
  class: '0x00ff00',
  ...(config === undefined && { pcie_type: 'rciep' }),
  driver: 'vfio-pci',
  bars: [
    { index: 0, kind: 'mem', bits: 32, prefetchable: false, size: BAR_SIZE },
    ...(config === undefined ? [{ index: IO_BAR, kind: 'io', size: 32 }] : []),
    ...(memory === undefined ? [] : [{ index: MEMORY_BAR, kind: 'mem', bits: 64, prefetchable: true, size: memory }]),
  ],
  ...(model !== undefined && { model }),
  ...(config !== undefined && { config }),
});

export const BDFS = ['0000:00:03.0', '0000:00:04.0'] as const;

export interface Outcome {
  readonly errno: Errno | undefined;
  readonly ret: number;
  readonly payload: Uint8Array;
}

export class Host {
  private constructor(readonly host: TestHost) {}

  static async boot({ profile = '7.2', ...description }: { profile?: string } & Described = {}): Promise<Host> {
    const functions = BDFS.map((bdf) => described(bdf, description));
    const machine = JSON.stringify({ format: 'pci-topology-fixture/1', functions });
    return new Host(await TestHost.boot({ machine, profile }));
  }

  /** A machine of the test's own. */
  static async on(options: Parameters<typeof TestHost.boot>[0]): Promise<Host> {
    return new Host(await TestHost.boot({ profile: '7.2', ...options }));
  }

  async program(name: string): Promise<Program> {
    return Program.start(this.host, await this.host.process(name));
  }

  /** The program has ended: nothing is broken, and nothing of it is left at the device. */
  async afterwards(p: Program, bdf: string = BDFS[0]): Promise<Record<string, number>> {
    await this.host.run(p.process.exit());
    await this.host.run(p.process.link.ports.sleep(200));
    expect(this.host.broken()).toEqual([]);
    return this.host.figures(`device:${bdf.replace('.', '_')}`);
  }
}

/** What a device at rest counts. */
export const NOTHING = { files: 0, madeFiles: 0, bound: 0, heldEventfds: 0 };

export class Program {
  iommufd = -1;
  ioas = 0;

  /** `host`: what time passes on while the program waits. */
  constructor(
    readonly host: Pick<TestHost, 'run'>,
    readonly process: Process,
  ) {}

  /** A program with an iommufd and an IOAS. */
  static async start(host: Pick<TestHost, 'run'>, process: Process): Promise<Program> {
    const p = new Program(host, process);
    p.iommufd = await p.must(process.open('/dev/iommu'));
    p.ioas = (await p.ioctl(p.iommufd, IOMMU_IOAS_ALLOC, {})).out_ioas_id;
    return p;
  }

  async must<T>(work: Promise<Result<T>>): Promise<T> {
    const done = await this.host.run(work);
    if (!done.ok) throw new Error(done.errno);
    return done.value;
  }

  /** The value, or the errno. */
  async attempt<T>(work: Promise<Result<T>>): Promise<T | Errno> {
    const done = await this.host.run(work);
    return done.ok ? done.value : done.errno;
  }

  async errno<S extends AnyStruct>(
    fd: number,
    def: IoctlDef<string, S>,
    fields: Partial<StructOf<S>>,
    tail = new Uint8Array(0),
  ): Promise<Errno | undefined> {
    return (await this.host.run(this.process.ioctl(fd, def, fields as never, { tail }))).errno;
  }

  async ioctl<S extends AnyStruct>(fd: number, def: IoctlDef<string, S>, fields: Partial<StructOf<S>>) {
    const answer = await this.host.run(this.process.ioctl(fd, def, fields as never));
    if (answer.errno) throw new Error(`${def.name}: ${answer.errno}`);
    return answer.out;
  }

  /** Memory at `iova`, mapped for the devices; answers its address. */
  async mapped(iova: bigint, length: number): Promise<number> {
    const va = await this.must(this.process.mmap(length));
    const map = { flags: MAPPED, ioas_id: this.ioas, user_va: BigInt(va), length: BigInt(length), iova };
    await this.ioctl(this.iommufd, IOMMU_IOAS_MAP, map);
    return va;
  }

  eventfd(): Promise<number> {
    return this.must(this.process.eventfd());
  }

  /** The eventfd's counter, 0 when nothing was signalled. */
  async count(fd: number): Promise<number> {
    const value = await this.host.run(this.process.eventRead(fd));
    return value.ok ? Number(value.value) : 0;
  }

  /** Opens a function, binds and attaches it, and turns memory decoding and bus master on. */
  async device(bdf: string = BDFS[0]): Promise<Device> {
    const fd = await this.open(bdf);
    await this.ioctl(fd, VFIO_DEVICE_BIND_IOMMUFD, { argsz: 16, iommufd: this.iommufd });
    await this.ioctl(fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, { argsz: 12, pt_id: this.ioas });
    const device = new Device(this, fd);
    await device.command(0x0006);
    return device;
  }

  async open(bdf: string): Promise<number> {
    const [name] = await this.must(this.process.listdir(`/sys/bus/pci/devices/${bdf}/vfio-dev`));
    return this.must(this.process.open(`/dev/vfio/devices/${name}`));
  }
}

const word = (value: bigint, width: number): Uint8Array =>
  new Uint8Array(BigUint64Array.of(value).buffer).slice(0, width);

export class Device {
  constructor(
    readonly p: Program,
    readonly fd: number,
  ) {}

  async read(offset: number, width = 4): Promise<bigint> {
    const bytes = await this.p.must(this.p.process.pread(this.fd, offset, width));
    return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
  }

  async write(offset: number, value: bigint, width = 4): Promise<void> {
    await this.p.must(this.p.process.pwrite(this.fd, offset, word(value, width)));
  }

  command(value: number): Promise<void> {
    return this.write(COMMAND, BigInt(value), 2);
  }

  /** `length` bytes from the start of the device's buffer to memory. */
  async store(iova: bigint, length: number): Promise<void> {
    await this.transfer(BUFFER_START, iova, length, DMA_RUN | DMA_TO_MEMORY);
  }

  /** And from memory. */
  async fetch(iova: bigint, length: number): Promise<void> {
    await this.transfer(iova, BUFFER_START, length, DMA_RUN);
  }

  private async transfer(from: bigint, to: bigint, length: number, command: number): Promise<void> {
    for (const [i, value] of [from, to, BigInt(length)].entries()) await this.write(REG_DMA_SOURCE + 8 * i, value, 8);
    await this.write(REG_DMA_COMMAND, BigInt(command), 8);
  }

  /** VFIO_DEVICE_FEATURE; `payload` is changed in place. */
  async feature(flags: number, payload = new Uint8Array(0)): Promise<Outcome> {
    const argsz = vfio_device_feature.size + payload.length;
    const { process, host } = this.p;
    const done = await host.run(process.ioctl(this.fd, VFIO_DEVICE_FEATURE, { argsz, flags }, { tail: payload }));
    return { errno: done.errno, ret: done.ret, payload: done.tail };
  }

  /** The same with a struct as payload. */
  featureWith<S extends AnyStruct>(flags: number, struct: S, fields: Partial<StructOf<S>>): Promise<Outcome> {
    return this.feature(flags, encode(struct, fields as never));
  }

  /** Eventfds on vectors from `start` on; -1: none. */
  setIrqs(index: number, start: number, fds: readonly number[], flags = 0x24): Promise<Errno | undefined> {
    const tail = new Uint8Array(Int32Array.from(fds).buffer);
    const argsz = 20 + U32_FD * fds.length;
    return this.p.errno(this.fd, VFIO_DEVICE_SET_IRQS, { argsz, flags, index, start, count: fds.length }, tail);
  }
}
