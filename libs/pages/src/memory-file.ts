/**
 * A file that lives in memory: a memfd, or the nameless one behind a shared anonymous mapping (the kernel's shmem and
 * hugetlbfs inodes).
 *
 * Words: its *pages* are numbered from the start of the file, 4 KiB each; a *hole* reads as zero and costs nothing; a
 * *seal* (F_SEAL_*) forbids one kind of change for good. *Users* are open descriptions, VMAs and stores.
 * Rule: the file owns its frames; mappings look them up here. So a page that was cut off is gone for every mapping at once
 * (SIGBUS), and lives on for who has it pinned (semantics B8.1, trace c063).
 */
import {
  type LentBytes,
  F_SEAL_FUTURE_WRITE,
  F_SEAL_GROW,
  F_SEAL_SEAL,
  F_SEAL_SHRINK,
  F_SEAL_WRITE,
} from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import type { Span } from './extents.js';
import { PAGE } from './frame-bytes.js';
import type { Frames } from './frames.js';
import { PageMap } from './page-map.js';
import type { PageSource } from './page-source.js';
import type { Piece } from './run-map.js';

/** Bytes of the longest file; one more is EFBIG. */
export const MAX_FILE_BYTES = 2 ** 52;
const ANY_WRITE_SEAL = F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;
/** F_SEAL_SEAL to F_SEAL_EXEC. */
const KNOWN_SEALS = 0x3f;

/** What a client knows a file by: who made it, and how many it had made before. */
export interface FileName {
  readonly maker: string;
  readonly serial: number;
}

/** Whose bytes the pages of a foreign file are: what is lent under a name, or memory that a client answers for. */
export type ForeignSource =
  { readonly lent: string; readonly bytes: LentBytes | undefined } | { readonly client: string };

export class MemoryFile implements PageSource {
  readonly refusal = 'EINVAL';
  readonly cache: PageMap;
  /** Bytes. */
  size = 0;
  seals = 0;
  /** Undefined: the pages are the host's own. */
  foreign: ForeignSource | undefined;
  /** Open descriptions, VMAs and stores. */
  users = 0;
  /** Shared VMAs that are writable or may become so. */
  writers = 0;

  constructor(
    readonly id: number,
    readonly name: FileName,
    /** log2 of a page in bytes: 12, or 21 and 30 for hugetlb. */
    readonly pageShift: number,
    private readonly frames: Frames,
    private readonly unused: (file: MemoryFile) => void,
  ) {
    this.cache = new PageMap(frames);
  }

  /** Pages of 4 KiB in one page of the file. */
  get block(): number {
    return 2 ** (this.pageShift - 12);
  }

  /** The first page behind the file: touching it is SIGBUS. */
  get endPage(): number {
    return Math.ceil(this.size / PAGE);
  }

  use(): void {
    this.users++;
  }

  letGo(): void {
    if (--this.users === 0) this.unused(this);
  }

  /** Seals do not matter: what is written is not the file's content but a device's (trace c064). */
  pinnable(_first: number, end: number): boolean {
    return end <= this.endPage;
  }

  free(): number {
    return 0;
  }

  populate(spans: readonly Span[]): boolean {
    const placed: Piece[] = [];
    for (const span of spans) {
      const added = this.fill(span);
      if (added === undefined) {
        this.cache.takeBack(placed);
        return false;
      }
      placed.push(...added);
    }
    return true;
  }

  /** Frames for whole pages of the file around the span; undefined: out of memory. */
  fill({ first, end }: Span): Piece[] | undefined {
    const { block } = this;
    return this.cache.fill(Math.floor(first / block) * block, Math.ceil(end / block) * block, block);
  }

  pieces(first: number, end: number): Piece[] {
    return this.cache.pieces(first, end);
  }

  /**
   * The empty file becomes memory of `bytes` bytes that lies elsewhere; its length stays that for good. EBUSY: it is not empty;
   * EINVAL: hugetlb, or no whole pages; EFBIG; ENOMEM: the host has no frames for it.
   */
  becomeForeign(source: ForeignSource, bytes: number): Result<void> {
    if (this.size > 0 || this.cache.pages > 0 || this.foreign) return fail('EBUSY');
    if (this.pageShift > 12 || bytes === 0 || bytes % (PAGE * this.frames.block) !== 0) return fail('EINVAL');
    if (bytes > MAX_FILE_BYTES) return fail('EFBIG');
    if (!this.fill({ first: 0, end: bytes / PAGE })) return fail('ENOMEM');
    this.size = bytes;
    this.seals |= F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW;
    this.foreign = source;
    this.linkFrames();
    return ok(undefined);
  }

  /** Tells the frames where their bytes are. */
  linkFrames(): void {
    const { foreign: source, frames, id } = this;
    if (!source) return;
    const { foreign } = frames.bytes;
    for (const { page, frame, count } of this.cache.all()) {
      const offset = page * PAGE;
      if ('client' in source) foreign.remote(frame, count, { memory: id, offset });
      else if (source.bytes) foreign.lend(frame, count, { bytes: source.bytes, offset });
    }
  }

  /**
   * ftruncate(2). EINVAL: no whole hugetlb pages; EFBIG; EPERM: sealed against shrinking or growing. What is cut off is
   * zero when the file grows again.
   */
  truncate(length: number): Result<void> {
    if (length % 2 ** this.pageShift !== 0 && this.pageShift > 12) return fail('EINVAL');
    if (length > MAX_FILE_BYTES) return fail('EFBIG');
    if (length < this.size && (this.seals & F_SEAL_SHRINK) !== 0) return fail('EPERM');
    if (length > this.size && (this.seals & F_SEAL_GROW) !== 0) return fail('EPERM');
    if (length < this.size) this.erase(length, this.endPage * PAGE);
    this.size = length;
    return ok(undefined);
  }

  /** fallocate(2), mode 0 or FALLOC_FL_KEEP_SIZE. EFBIG; EPERM: it would grow and is sealed; ENOSPC: no memory. */
  allocate(offset: number, length: number, keepSize: boolean): Result<void> {
    const end = offset + length;
    if (end > MAX_FILE_BYTES) return fail('EFBIG');
    if (end > this.size && (this.seals & F_SEAL_GROW) !== 0) return fail('EPERM');
    const span = { first: Math.floor(offset / PAGE), end: Math.ceil(end / PAGE) };
    if (!this.populate([span])) return fail('ENOSPC');
    const whole = 2 ** this.pageShift;
    if (!keepSize && end > this.size) this.size = this.pageShift > 12 ? Math.ceil(end / whole) * whole : end;
    return ok(undefined);
  }

  /** fallocate(2) with FALLOC_FL_PUNCH_HOLE: the range reads as zero, whole pages of it lose their frames. EPERM: sealed, or foreign. */
  punch(offset: number, length: number): Result<void> {
    if (this.foreign) return fail('EPERM');
    if ((this.seals & ANY_WRITE_SEAL) !== 0) return fail('EPERM');
    this.erase(offset, Math.min(offset + length, this.endPage * PAGE));
    return ok(undefined);
  }

  /** Drops the pages that lie whole in [from, to) bytes and zeroes the rest of it. */
  private erase(from: number, to: number): void {
    const whole = 2 ** this.pageShift;
    const first = Math.ceil(from / whole) * whole;
    const end = Math.floor(to / whole) * whole;
    if (first < end) {
      this.zero(from, first);
      this.cache.drop(first / PAGE, end / PAGE);
      this.zero(end, to);
    } else this.zero(from, to);
  }

  /** Zeroes what frames hold of [from, to) bytes. */
  private zero(from: number, to: number): void {
    for (const { page, frame, count } of this.cache.pieces(Math.floor(from / PAGE), Math.ceil(to / PAGE))) {
      const shift = (frame - page) * PAGE;
      this.frames.bytes.zero(Math.max(from, page * PAGE) + shift, Math.min(to, (page + count) * PAGE) + shift);
    }
  }

  /** The parts of [from, to) bytes that have frames, page by page. */
  private *physical(from: number, to: number): IterableIterator<{ address: number; at: number; length: number }> {
    for (const { page, frame, count } of this.cache.pieces(Math.floor(from / PAGE), Math.ceil(to / PAGE)))
      for (let i = 0; i < count; i++) {
        const start = Math.max(from, (page + i) * PAGE);
        const stop = Math.min(to, (page + i + 1) * PAGE);
        yield { address: (frame + i) * PAGE + (start % PAGE), at: start - from, length: stop - start };
      }
  }

  /** What pread(2) gives: up to the end of the file. */
  read(offset: number, length: number): Uint8Array {
    const out = new Uint8Array(Math.max(0, Math.min(length, this.size - offset)));
    for (const { address, at, length: part } of this.physical(offset, offset + out.length))
      this.frames.bytes.read(address, out.subarray(at, at + part));
    return out;
  }

  /** pwrite(2). EINVAL: a hugetlb file; EPERM: sealed; EFBIG; ENOSPC: no memory. */
  write(offset: number, data: Uint8Array): Result<number> {
    const end = offset + data.length;
    if (this.pageShift > 12) return fail('EINVAL');
    if (data.length === 0) return ok(0);
    if (end > MAX_FILE_BYTES) return fail('EFBIG');
    if ((this.seals & ANY_WRITE_SEAL) !== 0) return fail('EPERM');
    if (end > this.size && (this.seals & F_SEAL_GROW) !== 0) return fail('EPERM');
    if (!this.populate([{ first: Math.floor(offset / PAGE), end: Math.ceil(end / PAGE) }])) return fail('ENOSPC');
    for (const { address, at, length } of this.physical(offset, end))
      this.frames.bytes.write(address, data.subarray(at, at + length));
    this.size = Math.max(this.size, end);
    return ok(data.length);
  }

  /**
   * fcntl(F_ADD_SEALS). EINVAL: unknown seals; EPERM: sealed against seals; EBUSY: F_SEAL_WRITE while a mapping may write
   * or a page is pinned (trace c064).
   */
  addSeals(seals: number): Result<void> {
    if ((seals & ~KNOWN_SEALS) !== 0) return fail('EINVAL');
    if ((this.seals & F_SEAL_SEAL) !== 0) return fail('EPERM');
    const stopsWriting = (seals & F_SEAL_WRITE) !== 0 && (this.seals & F_SEAL_WRITE) === 0;
    if (stopsWriting && (this.writers > 0 || this.pinned())) return fail('EBUSY');
    this.seals |= seals;
    return ok(undefined);
  }

  private pinned(): boolean {
    for (const { frame, count } of this.cache.all())
      if (this.frames.pins.zeros(frame, frame + count)[0]?.end !== frame + count) return true;
    return false;
  }

  /** Is a shared mapping with write access refused? */
  get writeSealed(): boolean {
    return (this.seals & ANY_WRITE_SEAL) !== 0;
  }
}
