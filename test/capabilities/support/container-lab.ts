/**
 * A host with VFIO containers for tests that speak as programs do, and what must be left of them in the end.
 *
 * Words: the machine is that of the golden traces: 00:03.0, 00:04.0 with its sibling 00:04.1, and 07:01.0 with 07:02.0 are
 * DMA engines on vfio-pci behind VT-d. Machines of POWER have theirs at 0000:01:00.0, 0002:03:00.0, and behind a bridge
 * 0003:02:01.0 with 0003:02:02.0.
 * Rule: a test sees what system calls answer, what DMA moves, and what the services still hold.
 */
import {
  type AnyStruct,
  type Errno,
  type IoctlDef,
  parseChain,
  type PlainIoctlDef,
  type Result,
  toPowerpc,
  VFIO_CHECK_EXTENSION,
  VFIO_GROUP_GET_DEVICE_FD,
  VFIO_GROUP_SET_CONTAINER,
  VFIO_GROUP_UNSET_CONTAINER,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
  VFIO_IOMMU_UNMAP_DMA,
  VFIO_SET_IOMMU,
  vfio_iova_range,
  decode,
} from '@vfiolab/uapi';
import { CONTAINER, GROUPS, IOMMU, IOMMUFD, type KvmHolds, PAGES, type Teaching } from '@vfiolab/core';
import { type Arguments, type Credentials, type IoctlAnswer, type IoctlOptions, Process, ROOT } from '@vfiolab/client';
import { CALM, type SimOptions, TestHost } from '@vfiolab/sim';
import { machineNamed } from '../../../libs/conformance/src/machines.js';

export const ENGINE = '0000:00:03.0';
export const PAIR = ['0000:00:04.0', '0000:00:04.1'] as const;
/** Behind a PCIe-to-PCI bridge: one group with its neighbour. */
export const BRIDGED = '0000:07:01.0';

export const [TYPE1, TYPE1_V2] = [1, 3];
export const RW = 3;
export const PAGE = 4096;
export const IOVA = 0x100000n;
/** What `afterwards` answers when all is well. */
export const NOTHING = { broken: [], held: {} };

export interface ContainerLabOptions {
  readonly machine?: 'B-type1' | 'B-compat' | 'C-amd' | 'C-vtd39' | 'P-powernv9' | 'P-powernv9-unsafe' | 'P-pseries';
  /** Another machine than the recorded one, behind its IOMMU. */
  readonly description?: string;
  /** Another IOMMU than the recorded one. */
  readonly iommu?: string;
  readonly teaching?: Teaching;
  readonly profile?: string;
  readonly kvm?: KvmHolds;
  readonly memoryCards?: boolean;
  readonly seed?: number;
  /** What goes wrong on the way. */
  readonly options?: SimOptions;
}

export class ContainerLab {
  private constructor(
    readonly host: TestHost,
    /** Registers of the DMA engine are big endian. */
    readonly bigEndian: boolean,
  ) {}

  static async boot({
    machine: name = 'B-type1',
    description,
    iommu,
    teaching,
    profile = '7.2',
    kvm,
    memoryCards,
    seed = 0,
    options = CALM,
  }: ContainerLabOptions = {}) {
    const { topology, ...recorded } = machineNamed(name);
    const machine = { ...recorded, ...(iommu !== undefined && { iommu }) };
    const host = await TestHost.boot({
      ...machine,
      machine: description ?? topology,
      ...(teaching && { teaching }),
      profile,
      kvm,
      memoryCards,
      seed,
      options,
    });
    return new ContainerLab(host, machine.iommu.startsWith('ppc64'));
  }

  async program(name: string, credentials: Credentials = ROOT): Promise<VfioProgram> {
    return new VfioProgram(this, await this.host.process(name, credentials));
  }

  /** Services that a service spoke to while `work` ran, without the lab. */
  async heardFrom(service: string, work: () => Promise<unknown>): Promise<string[]> {
    const heard: string[] = [];
    const unwatch = this.host.host.watch((from, to, _frame, when) => {
      if (when === 'leaving' && from === service && to !== 'lab') heard.push(to);
      return false;
    });
    await work();
    unwatch();
    return heard;
  }

  /** Nothing goes wrong any more; resolves when nothing is under way. */
  async heal(): Promise<void> {
    const { host } = this.host;
    host.network.healed = true;
    const pause = () => new Promise<void>((resolve) => host.agenda.after(100, () => (host.touch(), resolve())));
    do await this.host.run(pause());
    while (host.busy);
  }

  broken(): string[] {
    return [...this.host.host.failures, ...this.host.broken()];
  }

  held(): Record<string, number> {
    const figures = (service: string) => Object.entries(this.host.figures(service));
    const of = (service: string, names: readonly string[]) =>
      figures(service).flatMap(([name, n]) => (names.includes(name) && n !== 0 ? [[`${service} ${name}`, n]] : []));
    return Object.fromEntries([
      ...figures(CONTAINER).flatMap(([name, n]) => (n === 0 ? [] : [[`container ${name}`, n]])),
      ...of(IOMMUFD, ['contexts', 'files']),
      ...of(IOMMU, ['domains', 'mappedPages']),
      ...of(PAGES, ['processes', 'stores', 'pins', 'charges', 'usedFrames', 'files']),
      ...of(GROUPS, ['ownedGroups', 'claims', 'cdevClaims', 'files', 'vms']),
    ]) as Record<string, number>;
  }

  async afterwards(...programs: readonly VfioProgram[]): Promise<unknown> {
    for (const p of programs) await this.host.run(p.process.exit());
    return { broken: this.broken(), held: this.held() };
  }
}

/** Registers of the DMA engine, and its buffer. */
const [SOURCE, DESTINATION, COUNT, COMMAND] = [0x80, 0x88, 0x90, 0x98];
const BUFFER = 0x40000n;
const [FROM_MEMORY, TO_MEMORY] = [1n, 3n];
const CONFIG_COMMAND = 7 * 2 ** 40 + 4;
const BAR_LENGTH = 0x100000;
/** Where arguments without a struct are: outside of what mmap gives. */
const ARGUMENT = 2 ** 47;

export interface OpenEngine {
  readonly fd: number;
  readonly bar: number;
}

export class VfioProgram {
  constructor(
    readonly lab: ContainerLab,
    readonly process: Process,
  ) {}

  run<T>(work: Promise<T>): Promise<T> {
    return this.lab.host.run(work);
  }

  async must<T>(work: Promise<Result<T>>): Promise<T> {
    const r = await this.run(work);
    if (!r.ok) throw new Error(`the test's own call failed: ${r.errno}`);
    return r.value;
  }

  container(): Promise<number> {
    return this.must(this.process.open('/dev/vfio/vfio'));
  }

  async group(bdf: string): Promise<number> {
    const link = await this.must(this.process.readlink(`/sys/bus/pci/devices/${bdf}/iommu_group`));
    return this.must(this.process.open(`/dev/vfio/${link.split('/').pop()}`));
  }

  async close(fd: number): Promise<void> {
    await this.must(this.process.close(fd));
  }

  /** As a program of this machine sends it. */
  private number({ nr }: PlainIoctlDef): number {
    return this.process.powerpc ? toPowerpc(nr) : nr;
  }

  /** An ioctl whose argument is in memory and no struct; its result, or the errno. */
  async withBytes(fd: number, def: PlainIoctlDef, bytes: Uint8Array): Promise<number | Errno> {
    // A text is read up to the end of its page.
    const va = ARGUMENT + PAGE - bytes.length;
    const { ret, errno } = await this.run(
      this.process.ioctlAt(fd, this.number(def), va, [{ va, writable: true, bytes }]),
    );
    return errno ?? ret;
  }

  async plain(fd: number, def: PlainIoctlDef, arg = 0): Promise<number | Errno> {
    const { ret, errno } = await this.run(this.process.ioctlAt(fd, this.number(def), arg, []));
    return errno ?? ret;
  }

  setContainer(group: number, container: number): Promise<number | Errno> {
    return this.withBytes(group, VFIO_GROUP_SET_CONTAINER, new Uint8Array(Int32Array.of(container).buffer));
  }

  unsetContainer(group: number): Promise<number | Errno> {
    return this.plain(group, VFIO_GROUP_UNSET_CONTAINER);
  }

  setIommu(container: number, type: number): Promise<number | Errno> {
    return this.plain(container, VFIO_SET_IOMMU, type);
  }

  extension(container: number, n: number): Promise<number | Errno> {
    return this.plain(container, VFIO_CHECK_EXTENSION, n);
  }

  device(group: number, bdf: string): Promise<number | Errno> {
    return this.withBytes(group, VFIO_GROUP_GET_DEVICE_FD, new TextEncoder().encode(`${bdf}\0`));
  }

  /** A container with the groups of these devices and a backend. */
  async ready(bdfs: readonly string[] = [ENGINE], type = TYPE1_V2): Promise<{ container: number; groups: number[] }> {
    const container = await this.container();
    const groups: number[] = [];
    for (const bdf of bdfs) {
      const group = await this.group(bdf);
      groups.push(group);
      const set = await this.setContainer(group, container);
      if (set !== 0) throw new Error(`SET_CONTAINER: ${set}`);
    }
    const set = await this.setIommu(container, type);
    if (set !== 0) throw new Error(`SET_IOMMU: ${set}`);
    return { container, groups };
  }

  /** A device that is open, enabled as a bus master, with its registers mapped. */
  async engine(group: number, bdf: string = ENGINE): Promise<OpenEngine> {
    const fd = await this.device(group, bdf);
    if (typeof fd !== 'number') throw new Error(`GET_DEVICE_FD: ${fd}`);
    await this.command(fd, 6);
    return { fd, bar: await this.must(this.process.mapDevice(fd, 0, BAR_LENGTH)) };
  }

  /** The command register: 2: memory, 4: bus master. */
  async command(fd: number, bits: number): Promise<void> {
    await this.must(this.process.pwrite(fd, CONFIG_COMMAND, Uint8Array.of(bits, 0)));
  }

  private register(bar: number, offset: number, value: bigint): Promise<void> {
    const bytes = new Uint8Array(BigUint64Array.of(value).buffer);
    if (this.lab.bigEndian) bytes.reverse();
    return this.must(this.process.store(bar + offset, 8, bytes));
  }

  /** The engine copies bytes at an IOVA into its buffer, or its buffer there. A refused DMA changes nothing. */
  private async transfer({ bar }: OpenEngine, toMemory: boolean, iova: bigint, length: number): Promise<void> {
    await this.register(bar, SOURCE, toMemory ? BUFFER : iova);
    await this.register(bar, DESTINATION, toMemory ? iova : BUFFER);
    await this.register(bar, COUNT, BigInt(length));
    await this.register(bar, COMMAND, toMemory ? TO_MEMORY : FROM_MEMORY);
  }

  /** The engine copies from one IOVA to another. */
  async copy(engine: OpenEngine, from: bigint, to: bigint, length: number): Promise<void> {
    await this.transfer(engine, false, from, length);
    await this.transfer(engine, true, to, length);
  }

  ioctl<S extends AnyStruct>(
    fd: number,
    def: IoctlDef<string, S>,
    fields?: Arguments<S>,
    options?: IoctlOptions,
  ): Promise<IoctlAnswer<S>> {
    return this.run(this.process.ioctl(fd, def, fields, options));
  }

  async map(fd: number, fields: Arguments<typeof VFIO_IOMMU_MAP_DMA.struct>): Promise<Errno | undefined> {
    return (await this.ioctl(fd, VFIO_IOMMU_MAP_DMA, { flags: RW, ...fields })).errno;
  }

  /** The errno, or the bytes that went. */
  async unmap(fd: number, fields: Arguments<typeof VFIO_IOMMU_UNMAP_DMA.struct>): Promise<Errno | bigint> {
    const { errno, out } = await this.ioctl(fd, VFIO_IOMMU_UNMAP_DMA, fields);
    return errno ?? out.size;
  }

  /** Page sizes and IOVA ranges of GET_INFO. */
  async info(fd: number): Promise<{ pageSizes: bigint; ids: number[]; ranges: [bigint, bigint][] }> {
    const { out, tail } = await this.ioctl(fd, VFIO_IOMMU_GET_INFO, { argsz: 1024 }, { room: 1000 });
    const reply = new Uint8Array(24 + tail.length);
    reply.set(tail, 24);
    const caps = parseChain(reply, out.cap_offset);
    const { body } = caps.find(({ id }) => id === VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE)!;
    const count = new DataView(body.buffer, body.byteOffset).getUint32(0, true);
    const ranges = Array.from({ length: count }, (_, i): [bigint, bigint] => {
      const { start, end } = decode(vfio_iova_range, body, 8 + i * vfio_iova_range.size);
      return [start, end];
    });
    return { pageSizes: out.iova_pgsizes, ids: caps.map(({ id }) => id), ranges };
  }

  async memory(length: number, fill?: number): Promise<bigint> {
    const va = await this.must(this.process.mmap(length));
    if (fill !== undefined) await this.must(this.process.write(va, new Uint8Array(length).fill(fill)));
    return BigInt(va);
  }

  async byteAt(va: bigint): Promise<number> {
    return (await this.must(this.process.read(Number(va), 1)))[0]!;
  }

  async lockedKb(): Promise<number> {
    return (await this.must(this.process.status())).vmLockedKb;
  }
}
