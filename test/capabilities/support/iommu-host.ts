/**
 * A program with real devices of its own, for tests of what their IOMMU does: system calls, registers and memory.
 *
 * Words: a *device* is a DMA engine on the root bus, opened as a cdev and bound to the program's /dev/iommu; a *rich* one has
 * ATS, page requests and PASIDs of 20 bits.
 * Rule: whatever the test's own set-up needs must succeed, or the test fails at once.
 */
import { type Arguments, type IoctlAnswer, Process } from '@vfiolab/client';
import { IOMMU, iommuApi, type FaultRecord } from '@vfiolab/core';
import {
  DMA_RUN,
  DMA_TO_MEMORY,
  PASID_ENABLE,
  REG_DMA_COMMAND,
  REG_DMA_COUNT,
  REG_DMA_DESTINATION,
  REG_DMA_PASID,
  REG_DMA_SOURCE,
} from '@vfiolab/devices';
import { type SimOptions, TestHost } from '@vfiolab/sim';
import {
  type AnyStruct,
  type Errno,
  type IoctlDef,
  IOMMU_FAULT_QUEUE_ALLOC,
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_INVALIDATE,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_UNMAP,
  type Result,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
} from '@vfiolab/uapi';

export const PAGE = 4096n;
const CONFIG_REGION = 7 * 2 ** 40;
const COMMAND = 4;
const BUFFER = 0x40000n;
const FIXED_RW = 7;

/** Extended capabilities at their offsets: id and version, then the capability's register. */
const CAPS: readonly (readonly [at: number, id: number, register: number])[] = [
  [0x100, 0x0f, 0],
  [0x140, 0x13, 0],
  [0x180, 0x1b, (20 << 8) | 6],
];

const FUNCTION_RESET = 1 << 28;

/** Config space of a DMA engine: BAR 0 of 1 MiB, PCI Express with a reset of its own, one MSI; a rich one has the capabilities above. */
function configSpace(rich: boolean): string {
  const config = new Uint8Array(4096);
  const view = new DataView(config.buffer);
  view.setUint32(0, 0x11e81234, true);
  view.setUint32(4, 0x00100000, true);
  view.setUint32(8, 0x00ff0010, true);
  config[0x34] = 0x40;
  view.setUint32(0x40, 0x00928010, true);
  view.setUint32(0x44, FUNCTION_RESET, true);
  view.setUint32(0x80, 0x00800005, true);
  if (rich)
    CAPS.forEach(([at, id, register], i) => {
      view.setUint32(at, id | (1 << 16) | ((CAPS[i + 1]?.[0] ?? 0) << 20), true);
      view.setUint32(at + 4, register, true);
    });
  return Array.from(config, (b) => b.toString(16).padStart(2, '0')).join('');
}

const functionAt = (bdf: string, rich: boolean) => ({
  bdf,
  vendor: '0x1234',
  device: '0x11e8',
  class: '0x00ff00',
  header_type: 0,
  pcie_type: 'rciep',
  driver: 'vfio-pci',
  bars: [{ index: 0, kind: 'mem', bits: 32, prefetchable: false, size: 1 << 20 }],
  config: configSpace(rich),
});

export const RICH = '0000:00:03.0';
export const OTHER_RICH = '0000:00:04.0';
export const PLAIN = '0000:00:05.0';

export interface MachineOptions {
  readonly iommu: string;
  readonly profile?: string;
  readonly options?: SimOptions;
  readonly allowUnsafeInterrupts?: boolean;
  /** log2 of the kernel's page in bytes. */
  readonly pageShift?: number;
  /** Devices on the vDPA bus. */
  readonly vdpa?: readonly string[];
  /** As `iommu_units` of a machine's description. */
  readonly units?: readonly object[];
}

export interface Device {
  readonly bdf: string;
  readonly fd: number;
  readonly id: number;
}

export class Passthrough {
  private constructor(
    readonly host: TestHost,
    readonly p: Process,
    readonly fd: number,
  ) {}

  static async boot({
    iommu,
    profile = '7.2',
    units = [],
    pageShift = 12,
    vdpa = [],
    options,
    allowUnsafeInterrupts,
  }: MachineOptions): Promise<Passthrough> {
    const functions = [functionAt(RICH, true), functionAt(OTHER_RICH, true), functionAt(PLAIN, false)];
    const more = { iommu_units: units, vdpa_devices: vdpa };
    const machine = JSON.stringify({ format: 'pci-topology-fixture/1', id: 'rich', functions, ...more });
    const host = await TestHost.boot({
      machine,
      iommu,
      profile,
      frames: 1 << 18,
      pageShift,
      allowUnsafeInterrupts: allowUnsafeInterrupts ? 1 : 0,
      ...(options && { options }),
    });
    const p = await host.process('program');
    const fd = await host.run(p.open('/dev/iommu'));
    if (!fd.ok) throw new Error(`/dev/iommu: ${fd.errno}`);
    return new Passthrough(host, p, fd.value);
  }

  async must<T>(work: Promise<Result<T>>): Promise<T> {
    const r = await this.host.run(work);
    if (!r.ok) throw new Error(`the test's own call failed: ${r.errno}`);
    return r.value;
  }

  ioctl<S extends AnyStruct>(
    def: IoctlDef<string, S>,
    fields: Arguments<S> = {},
    fd = this.fd,
  ): Promise<IoctlAnswer<S>> {
    return this.host.run(this.p.ioctl(fd, def, fields));
  }

  async sure<S extends AnyStruct>(def: IoctlDef<string, S>, fields: Arguments<S> = {}, fd = this.fd) {
    const answer = await this.ioctl(def, fields, fd);
    if (answer.errno) throw new Error(`${def.name}: ${answer.errno}`);
    return answer.out;
  }

  async errno<S extends AnyStruct>(
    def: IoctlDef<string, S>,
    fields: Arguments<S> = {},
    fd = this.fd,
  ): Promise<Errno | undefined> {
    return (await this.ioctl(def, fields, fd)).errno;
  }

  /** Opens and binds a device, with bus master on. */
  async device(bdf = RICH): Promise<Device> {
    const [minor] = await this.must(this.p.listdir(`/sys/bus/pci/devices/${bdf}/vfio-dev`));
    const fd = await this.must(this.p.open(`/dev/vfio/devices/${minor}`));
    const { out_devid: id } = await this.sure(VFIO_DEVICE_BIND_IOMMUFD, { argsz: 16, iommufd: this.fd }, fd);
    await this.must(this.p.pwrite(fd, CONFIG_REGION + COMMAND, Uint8Array.of(6, 0)));
    return { bdf, fd, id };
  }

  /** The same for a device on the vDPA bus, by its node's number. */
  async vdpa(index: number): Promise<Device> {
    const fd = await this.must(this.p.open(`/dev/vhost-vdpa-${index}`));
    const { out_devid: id } = await this.sure(VFIO_DEVICE_BIND_IOMMUFD, { argsz: 16, iommufd: this.fd }, fd);
    return { bdf: `vdpa${index}`, fd, id };
  }

  async ioas(): Promise<number> {
    return (await this.sure(IOMMU_IOAS_ALLOC)).out_ioas_id;
  }

  async memory(bytes: number): Promise<number> {
    return this.must(this.p.mmap(bytes));
  }

  map(ioas_id: number, iova: bigint, va: number, bytes: bigint): Promise<Errno | undefined> {
    return this.errno(IOMMU_IOAS_MAP, { ioas_id, iova, user_va: BigInt(va), length: bytes, flags: FIXED_RW });
  }

  unmap(ioas_id: number, iova: bigint, length: bigint): Promise<Errno | undefined> {
    return this.errno(IOMMU_IOAS_UNMAP, { ioas_id, iova, length });
  }

  async hwpt(device: Device, pt_id: number, fields: Arguments<typeof IOMMU_HWPT_ALLOC.struct> = {}): Promise<number> {
    return (await this.sure(IOMMU_HWPT_ALLOC, { dev_id: device.id, pt_id, ...fields })).out_hwpt_id;
  }

  async faultQueue(): Promise<{ id: number; fd: number }> {
    const { out_fault_id: id, out_fault_fd: fd } = await this.sure(IOMMU_FAULT_QUEUE_ALLOC);
    return { id, fd };
  }

  attach(device: Device, pt_id: number, pasid?: number): Promise<Errno | undefined> {
    const fields = pasid === undefined ? { argsz: 16, pt_id } : { argsz: 16, flags: 1, pt_id, pasid };
    return this.errno(VFIO_DEVICE_ATTACH_IOMMUFD_PT, fields, device.fd);
  }

  detach(device: Device, pasid?: number): Promise<Errno | undefined> {
    const fields = pasid === undefined ? { argsz: 12 } : { argsz: 12, flags: 1, pasid };
    return this.errno(VFIO_DEVICE_DETACH_IOMMUFD_PT, fields, device.fd);
  }

  invalidate(hwpt_id: number, data_type: number, entryLength: number, entries: readonly bigint[]) {
    const data_uptr = bytesOf(...entries);
    const fields = { hwpt_id, data_type, entry_len: entryLength, entry_num: data_uptr.length / entryLength };
    return this.ioctl(IOMMU_HWPT_INVALIDATE, { ...fields, data_uptr });
  }

  private async register({ fd }: Device, at: number, value: bigint, bytes = 8): Promise<void> {
    await this.must(this.p.pwrite(fd, at, bytesOf(value).subarray(0, bytes)));
  }

  /** Starts a DMA of the engine's buffer; it may have to wait for a page. */
  async dma(device: Device, iova: bigint, count: number, toMemory: boolean, pasid?: number): Promise<void> {
    if (pasid !== undefined) await this.register(device, REG_DMA_PASID, BigInt((PASID_ENABLE | pasid) >>> 0), 4);
    const [source, destination] = toMemory ? [BUFFER, iova] : [iova, BUFFER];
    await this.register(device, REG_DMA_SOURCE, source);
    await this.register(device, REG_DMA_DESTINATION, destination);
    await this.register(device, REG_DMA_COUNT, BigInt(count));
    await this.register(device, REG_DMA_COMMAND, BigInt(DMA_RUN | (toMemory ? DMA_TO_MEMORY : 0)));
    if (pasid !== undefined) await this.register(device, REG_DMA_PASID, 0n, 4);
  }

  /** Is the engine still busy? */
  async busy({ fd }: Device): Promise<boolean> {
    return ((await this.must(this.p.pread(fd, REG_DMA_COMMAND, 8)))[0]! & DMA_RUN) !== 0;
  }

  /** Reads `text` bytes from one IOVA and writes them to another. */
  async copy(device: Device, from: bigint, to: bigint, count: number, pasid?: number): Promise<void> {
    await this.dma(device, from, count, false, pasid);
    await this.dma(device, to, count, true, pasid);
  }

  async poke(va: number, bytes: Uint8Array | readonly bigint[]): Promise<void> {
    await this.must(this.p.write(va, bytes instanceof Uint8Array ? bytes : bytesOf(...bytes)));
  }

  async peek(va: number, length: number): Promise<string> {
    return new TextDecoder().decode(await this.must(this.p.read(va, length)));
  }

  /** What the IOMMU recorded of a device's refused DMAs. */
  faults({ bdf }: Device): Promise<FaultRecord[]> {
    return this.host.run(this.p.link.call(IOMMU, iommuApi.faults, { bdf }));
  }

  /** Broken invariants of all services. */
  broken(): string[] {
    return this.host.broken();
  }
}

export const text = (s: string): Uint8Array => new TextEncoder().encode(s);
export const bytesOf = (...words: readonly bigint[]): Uint8Array => new Uint8Array(BigUint64Array.from(words).buffer);
