/**
 * A program: a process, its /dev/iommu, and short names for the system calls that tests make again and again.
 *
 * Rule: `ioctl` and `op` throw for an errno that the test did not ask about; `errno` and `opErrno` answer it.
 */
import type { Arguments, IoctlAnswer, Process } from '@vfiolab/client';
import {
  type AnyStruct,
  decode,
  encode,
  type Errno,
  type IoctlDef,
  IOMMU_DESTROY,
  IOMMU_HWPT_ALLOC,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_IOVA_RANGES,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_FILE,
  IOMMU_IOAS_UNMAP,
  IOMMU_TEST_CMD,
  iommu_test_access_pages,
  iommu_test_check_map,
  iommu_test_check_refs,
  iommu_test_create_access,
  iommu_test_mock_domain_flags,
  iommu_test_mock_domain_replace,
  IOMMU_TEST_OP_ACCESS_PAGES,
  IOMMU_TEST_OP_CREATE_ACCESS,
  IOMMU_TEST_OP_MD_CHECK_MAP,
  IOMMU_TEST_OP_MD_CHECK_REFS,
  IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS,
  IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE,
  type Result,
  type StructOf,
} from '@vfiolab/uapi';
import { Device } from './device.js';
import type { Lab } from './lab.js';

export const PAGE = 4096;
/** The first IOVA of a mock domain; a page of a mock domain in bytes. */
export const APERTURE = 0x1000000n;
export const MOCK_PAGE = 2048;
export const ALL = 0xffff_ffff_ffff_ffffn;
export const FIXED = 1;
export const WRITEABLE = 2;
export const READABLE = 4;
export const FIXED_RW = FIXED | WRITEABLE | READABLE;

export interface Mock {
  readonly object: number;
  readonly device: number;
  readonly hwpt: number;
}

/** Status of the process in pages, as /proc shows it in kB, and what its user has locked. */
export interface Counters {
  readonly pinned: number;
  readonly locked: number;
  readonly user: number;
}

interface Memory {
  readonly prot?: number;
  readonly pageShift?: number;
  readonly shared?: boolean;
}

const ARM_BYTES = 48;
const HUGE = 0x20_0000;

export class Program {
  /** The open /dev/iommu. */
  fd = -1;
  private nextVa = 0x10_0000_0000;

  constructor(
    readonly lab: Lab,
    readonly process: Process,
  ) {}

  /** For calls that are not what the test is about. */
  async must<T>(work: Promise<Result<T>>): Promise<T> {
    const r = await this.lab.run(work);
    if (!r.ok) throw new Error(`${this.process.name}: ${r.errno}`);
    return r.value;
  }

  call<S extends AnyStruct>(def: IoctlDef<string, S>, fields: Arguments<S>, fd = this.fd): Promise<IoctlAnswer<S>> {
    return this.lab.run(this.process.ioctl(fd, def, fields));
  }

  async ioctl<S extends AnyStruct>(
    def: IoctlDef<string, S>,
    fields: Arguments<S> = {},
    fd = this.fd,
  ): Promise<StructOf<S>> {
    const { errno, out } = await this.call(def, fields, fd);
    if (errno) throw new Error(`${this.process.name}: ${def.name}: ${errno}`);
    return out;
  }

  async errno<S extends AnyStruct>(
    def: IoctlDef<string, S>,
    fields: Arguments<S> = {},
    fd = this.fd,
  ): Promise<Errno | undefined> {
    return (await this.call(def, fields, fd)).errno;
  }

  // The self-test

  async test<S extends AnyStruct>(op: number, layout: S, id: number, arm: Partial<StructOf<S>> = {}) {
    const u = new Uint8Array(ARM_BYTES);
    u.set(encode(layout, arm as never));
    const { errno, ret, out } = await this.call(IOMMU_TEST_CMD, { op, id, u });
    return { errno, ret, arm: decode(layout, out.u) as StructOf<S> };
  }

  async op<S extends AnyStruct>(op: number, layout: S, id: number, arm: Partial<StructOf<S>> = {}) {
    const done = await this.test(op, layout, id, arm);
    if (done.errno) throw new Error(`${this.process.name}: IOMMU_TEST_CMD ${op}: ${done.errno}`);
    return done.arm;
  }

  async opErrno<S extends AnyStruct>(op: number, layout: S, id: number, arm: Partial<StructOf<S>> = {}) {
    return (await this.test(op, layout, id, arm)).errno;
  }

  async mock(pt: number, dev_flags = 0): Promise<Mock> {
    const made = await this.op(IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS, iommu_test_mock_domain_flags, pt, { dev_flags });
    return { object: made.out_stdev_id, device: made.out_idev_id, hwpt: made.out_hwpt_id };
  }

  mockErrno(pt: number): Promise<Errno | undefined> {
    return this.opErrno(IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS, iommu_test_mock_domain_flags, pt);
  }

  replaceErrno(object: number, pt_id: number): Promise<Errno | undefined> {
    return this.opErrno(IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE, iommu_test_mock_domain_replace, object, { pt_id });
  }

  /** An access: its fd. */
  async access(ioas: number, flags = 1): Promise<number> {
    return (await this.op(IOMMU_TEST_OP_CREATE_ACCESS, iommu_test_create_access, ioas, { flags })).out_access_fd;
  }

  /** The access pins a range: the number of what it pinned. */
  async pin(access: number, iova: bigint, length: number): Promise<number> {
    const arm = { iova, length: BigInt(length), uptr: 0n };
    return (await this.op(IOMMU_TEST_OP_ACCESS_PAGES, iommu_test_access_pages, access, arm)).out_access_pages_id;
  }

  /** Is every page of the range pinned `refs` times? The errno tells: EIO when not. */
  refs(va: bigint, length: number, refs: number): Promise<Errno | undefined> {
    const arm = { length: BigInt(length), uptr: va, refs };
    return this.opErrno(IOMMU_TEST_OP_MD_CHECK_REFS, iommu_test_check_refs, 0, arm);
  }

  /** Are the pages behind the IOVA in this domain those behind the address? EINVAL when not. */
  shows(hwpt: number, iova: bigint, va: bigint, length: number): Promise<Errno | undefined> {
    const arm = { iova, length: BigInt(length), uptr: va };
    return this.opErrno(IOMMU_TEST_OP_MD_CHECK_MAP, iommu_test_check_map, hwpt, arm);
  }

  // /dev/iommu

  async ioas(): Promise<number> {
    return (await this.ioctl(IOMMU_IOAS_ALLOC)).out_ioas_id;
  }

  async hwpt(dev_id: number, pt_id: number, flags = 0): Promise<number> {
    return (await this.ioctl(IOMMU_HWPT_ALLOC, { dev_id, pt_id, flags })).out_hwpt_id;
  }

  /** IOMMU_IOAS_MAP at a fixed place: the errno. */
  map(ioas_id: number, iova: bigint, va: bigint, length: number, flags = FIXED_RW): Promise<Errno | undefined> {
    return this.errno(IOMMU_IOAS_MAP, { ioas_id, iova, user_va: va, length: BigInt(length), flags });
  }

  /** The same wherever there is room: the IOVA, or the errno. */
  async mapAnywhere(ioas_id: number, va: bigint, length: number, flags = WRITEABLE | READABLE) {
    const made = await this.call(IOMMU_IOAS_MAP, { ioas_id, user_va: va, length: BigInt(length), flags });
    return made.errno ?? made.out.iova;
  }

  mapFile(ioas_id: number, iova: bigint, fd: number, start: number, length: number): Promise<Errno | undefined> {
    const range = { start: BigInt(start), length: BigInt(length), iova };
    return this.errno(IOMMU_IOAS_MAP_FILE, { flags: FIXED_RW, ioas_id, fd, ...range });
  }

  /** IOMMU_IOAS_COPY at a fixed place: the errno. */
  copy(from: number, src_iova: bigint, to: number, dst_iova: bigint, length: number): Promise<Errno | undefined> {
    const places = { src_ioas_id: from, dst_ioas_id: to, src_iova, dst_iova, length: BigInt(length) };
    return this.errno(IOMMU_IOAS_COPY, { flags: FIXED_RW, ...places });
  }

  /** Bytes unmapped, or the errno. */
  async unmap(ioas_id: number, iova: bigint, length: bigint | number): Promise<bigint | Errno> {
    const { errno, out } = await this.call(IOMMU_IOAS_UNMAP, { ioas_id, iova, length: BigInt(length) });
    return errno ?? out.length;
  }

  destroy(id: number): Promise<Errno | undefined> {
    return this.errno(IOMMU_DESTROY, { id });
  }

  /** IOVA ranges of an IOAS, with room for `room` of them: the errno, how many there are, those that fitted. */
  async ranges(ioas_id: number, room = 16) {
    const bytes = new Uint8Array(16 * room);
    const call = { ioas_id, num_iovas: room, allowed_iovas: bytes };
    const { errno, out } = await this.call(IOMMU_IOAS_IOVA_RANGES, call);
    const words = new BigUint64Array(bytes.buffer);
    const count = Math.min(room, out.num_iovas);
    const ranges = Array.from({ length: count }, (_, i) => [words[2 * i]!, words[2 * i + 1]!] as const);
    return { errno, count: out.num_iovas, ranges, alignment: out.out_iova_alignment };
  }

  // Memory

  /** Fresh memory on a 2 MiB boundary. */
  async memory(length: number, { prot = 3, pageShift = 12, shared = false }: Memory = {}): Promise<bigint> {
    const va = this.nextVa;
    this.nextVa += (Math.ceil(length / HUGE) + 1) * HUGE;
    const { process } = this;
    const made = shared
      ? process.mmapShared(length, { prot, pageShift, va })
      : process.mmap(length, { prot, pageShift, va });
    return BigInt(await this.must(made));
  }

  async write(va: bigint, bytes: Uint8Array): Promise<void> {
    await this.must(this.process.write(Number(va), bytes));
  }

  async read(va: bigint, length: number): Promise<number[]> {
    return [...(await this.must(this.process.read(Number(va), length)))];
  }

  async munmap(va: bigint, length: number): Promise<void> {
    await this.must(this.process.munmap(Number(va), length));
  }

  async counters(): Promise<Counters> {
    const { vmPinnedKb, vmLockedKb, userLockedPages } = await this.must(this.process.status());
    return { pinned: vmPinnedKb / 4, locked: vmLockedKb / 4, user: userLockedPages };
  }

  /** A memfd of so many bytes. */
  async memfd(length: number, flags = 0): Promise<number> {
    const fd = await this.must(this.process.memfds.create(flags));
    await this.must(this.process.memfds.truncate(fd, length));
    return fd;
  }

  // Processes and files

  async close(fd: number): Promise<void> {
    await this.must(this.process.close(fd));
  }

  /** Ends as SIGKILL ends it. */
  exit(): Promise<void> {
    return this.lab.run(this.process.exit());
  }

  /** A child with copies of what this program has; the same fd numbers. */
  async fork(name: string): Promise<Program> {
    const child = await this.lab.process(name);
    await this.must(this.process.fork(child.process));
    child.fd = this.fd;
    child.nextVa = this.nextVa;
    return child;
  }

  async exec(): Promise<void> {
    await this.must(this.process.exec());
  }

  /** Gives a copy of an open file to another program. */
  async send(fd: number, to: Program): Promise<number> {
    return this.must(this.process.grant(fd, to.process));
  }

  /** A function of the host, bound to this program's /dev/iommu and ready for DMA. */
  device(bdf: string): Promise<Device> {
    return Device.open(this, bdf);
  }
}

/** Bytes that can be told from others: `seed`, `seed` + 1, ... */
export const pattern = (length: number, seed = 1): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (seed + i) & 0xff);
