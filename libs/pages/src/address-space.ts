/**
 * One process's memory: its VMAs and its page table (the kernel's mm_struct, as far as devices are concerned).
 *
 * Words: pages are 4 KiB virtual page numbers, `va` and lengths are bytes. To *populate* is to give pages their frames.
 * Rule: memory costs nothing before somebody writes to it or pins it; a page that was never written reads as zero.
 */
import { MMAP_PROT_READ, MMAP_PROT_WRITE, type ByteReader, type ByteWriter, type View } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import type { DeviceWindow } from './device-windows.js';
import type { Span } from './extents.js';
import { PAGE } from './frame-bytes.js';
import type { Frames } from './frames.js';
import type { MemoryFile } from './memory-file.js';
import { PageMap } from './page-map.js';
import type { PageSource } from './page-source.js';
import type { Piece } from './run-map.js';
import { type Backing, blockOf, END_PAGE, LOWEST_PAGE, MAX_VMAS, type Vma, VmaSet } from './vma-set.js';

/** Bits of mmap's and mprotect's `prot` that exist: read, write, execute. */
const PROT_ALL = 7;
/** 4 KiB, and the hugetlb sizes of x86-64: 2 MiB and 1 GiB. */
const PAGE_SHIFTS: readonly number[] = [12, 21, 30];

/** `page` in pages from the start of the window. */
interface DeviceMapping extends Place {
  readonly window: DeviceWindow;
  readonly page: number;
}
interface Place {
  readonly va: number;
  readonly length: number;
  readonly prot: number;
}
interface Mapping extends Place {
  readonly pageShift: number;
}
/** `offset` in bytes from the start of the file. */
interface FileMapping extends Place {
  readonly file: MemoryFile;
  readonly offset: number;
  readonly mayWrite: boolean;
}

export class AddressSpace implements PageSource {
  readonly refusal = 'EFAULT';
  private vmas = new VmaSet();
  /** Private pages. Those of files are found in the files. */
  private readonly table: PageMap;

  constructor(private readonly frames: Frames) {
    this.table = new PageMap(frames);
  }

  /** The kernel's own page, in bytes. */
  get pageSize(): number {
    return PAGE * this.frames.block;
  }

  /** The frames' pages of every page of the kernel that [va, va + length) touches. */
  pagesOf(va: number, length: number): Span {
    const [size, { block }] = [this.pageSize, this.frames];
    return { first: Math.floor(va / size) * block, end: Math.ceil((va + length) / size) * block };
  }

  /**
   * Private anonymous memory; answers its address. The length is rounded up to whole pages. EINVAL: length 0, unknown
   * page size or protection, fixed address not on a page; EPERM: fixed address below vm.mmap_min_addr; ENOMEM: no room,
   * beyond user space, or too many VMAs; EEXIST: the fixed range is in use (MAP_FIXED_NOREPLACE).
   */
  mmap({ va, length, prot, pageShift }: Mapping): Result<number> {
    if (!PAGE_SHIFTS.includes(pageShift)) return fail('EINVAL');
    return this.place({ va, length, prot }, pageShift, () => ({ shared: undefined }));
  }

  /** A file in memory, shared. EINVAL: also an offset within a page; else as `mmap`. */
  mapFile({ va, length, prot, file, offset, mayWrite }: FileMapping): Result<number> {
    if (offset % Math.max(2 ** file.pageShift, this.pageSize) !== 0) return fail('EINVAL');
    return this.place({ va, length, prot }, file.pageShift, (first) => ({
      shared: { file, delta: offset / PAGE - first, mayWrite },
    }));
  }

  /** A region of a device. EINVAL: also `page` within a page of the kernel, and beyond the region's last one; else as `mmap`. */
  mapDevice({ va, length, prot, window, page }: DeviceMapping): Result<number> {
    const { block } = this.frames;
    const whole = (pages: number): number => Math.ceil(pages / block) * block;
    if (page % block !== 0 || page + whole(Math.ceil(length / PAGE)) > whole(window.pages)) return fail('EINVAL');
    return this.place({ va, length, prot }, 12, (first) => ({
      shared: undefined,
      device: { window, delta: page - first },
    }));
  }

  private place(
    { va, length, prot }: Place,
    pageShift: number,
    backingAt: (first: number) => Omit<Backing, 'pageShift'>,
  ): Result<number> {
    if (length === 0 || prot > PROT_ALL) return fail('EINVAL');
    const offered = this.frames.offers(pageShift);
    if (!offered.ok) return offered;
    const block = Math.max(2 ** (pageShift - 12), this.frames.block);
    const pages = Math.ceil(length / (PAGE * block)) * block;
    if (pages > END_PAGE || this.vmas.size > MAX_VMAS) return fail('ENOMEM');
    const where = va === 0 ? ok(this.vmas.place(pages, block)) : this.fixed(va, pages, block);
    if (!where.ok) return where;
    const first = where.value;
    if (first === undefined) return fail('ENOMEM');
    const backing = { pageShift, ...backingAt(first) };
    this.vmas.insert({ first, end: first + pages, prot, locked: false, backing });
    return ok(first * PAGE);
  }

  private fixed(va: number, pages: number, block: number): Result<number> {
    const first = va / PAGE;
    if (!Number.isInteger(first / block)) return fail('EINVAL');
    if (first + pages > END_PAGE) return fail('ENOMEM');
    if (first < LOWEST_PAGE) return fail('EPERM');
    return this.vmas.overlapping(first, first + pages).length > 0 ? fail('EEXIST') : ok(first);
  }

  /** Holes in the range are fine. EINVAL: not on a page, empty, beyond user space, or through a hugetlb page; ENOMEM: VMAs. */
  munmap(va: number, length: number): Result<void> {
    const { first, end } = this.pagesOf(va, length);
    if (va % this.pageSize !== 0 || length === 0 || end > END_PAGE) return fail('EINVAL');
    const removed = this.vmas.remove(first, end);
    if (removed.ok) this.table.drop(first, end);
    return removed;
  }

  /**
   * EINVAL: not on a page, unknown protection, through a hugetlb page; ENOMEM: a hole in the range, or too many VMAs;
   * EACCES: a file that may not be written.
   */
  mprotect(va: number, length: number, prot: number): Result<void> {
    if (va % this.pageSize !== 0 || prot > PROT_ALL) return fail('EINVAL');
    const { first, end } = this.pagesOf(va, length);
    return end > END_PAGE ? fail('ENOMEM') : this.vmas.protect(first, end, prot);
  }

  /** Locks, or unlocks, the pages of [first, end). ENOMEM: a hole in the range, or too many VMAs. */
  lock(first: number, end: number, locked: boolean): Result<void> {
    return this.vmas.lock(first, end, locked);
  }

  /** Pages that are mlock'ed: of all, and of [first, end). */
  get lockedPages(): number {
    return this.vmas.lockedPages;
  }

  lockedIn(first: number, end: number): number {
    return this.vmas.lockedIn(first, end);
  }

  /** Brings every page of the range in. ENOMEM: one cannot be touched; EAGAIN: the host is out of memory. */
  bringIn(first: number, end: number): Result<void> {
    if (!this.vmas.allows(first, end, PROT_ALL) || !this.insideFiles(first, end)) return fail('ENOMEM');
    return this.populate([{ first, end }]) ? ok(undefined) : fail('EAGAIN');
  }

  /** Every x86 page with any permission can be read. EFAULT: a byte of it cannot; EIO: behind the end of its file (SIGBUS). */
  read(va: number, length: number): Result<Uint8Array> {
    const { first, end } = pagesOf(va, length);
    if (!this.vmas.allows(first, end, PROT_ALL) || this.vmas.meetsDevice(first, end)) return fail('EFAULT');
    if (!this.insideFiles(first, end)) return fail('EIO');
    const out = new Uint8Array(length);
    for (const piece of this.pieces(first, end)) {
      const { address, from, to } = physical(piece, va, length);
      this.frames.bytes.read(address, out.subarray(from, to));
    }
    return ok(out);
  }

  /** EFAULT, EIO: as `read`; ENOMEM: the host is out of memory. In each case nothing was written. */
  write(va: number, data: Uint8Array): Result<void> {
    const { first, end } = pagesOf(va, data.length);
    if (!this.vmas.allows(first, end, MMAP_PROT_WRITE) || this.vmas.meetsDevice(first, end)) return fail('EFAULT');
    if (!this.insideFiles(first, end)) return fail('EIO');
    if (!this.populate([{ first, end }])) return fail('ENOMEM');
    for (const piece of this.pieces(first, end)) {
      const { address, from, to } = physical(piece, va, data.length);
      this.frames.bytes.write(address, data.subarray(from, to));
    }
    return ok(undefined);
  }

  /**
   * May these pages be pinned? With write intent every page needs a writable VMA, else a readable one: a pin does not
   * override protection (semantics B2.3, trace a013). Nothing lies behind the end of a file (trace a043). `devices`: device
   * memory may be among them, where the device answers: only a container takes it (feature 8).
   */
  pinnable(first: number, end: number, writable: boolean, devices = false): boolean {
    const allowed = this.vmas.allows(first, end, writable ? MMAP_PROT_WRITE : MMAP_PROT_READ);
    if (!allowed || !this.insideFiles(first, end)) return false;
    if (!this.vmas.meetsDevice(first, end)) return true;
    return devices && this.vmas.overlapping(first, end).every(({ backing: { device } }) => device?.window.on ?? true);
  }

  /** Pages of device memory in the range. */
  free(first: number, end: number): number {
    if (!this.vmas.meetsDevice(first, end)) return 0;
    const devices = this.vmas.overlapping(first, end).filter(({ backing }) => backing.device);
    return devices.reduce((sum, vma) => sum + Math.min(end, vma.end) - Math.max(first, vma.first), 0);
  }

  /** The end of the memory, not of devices, that could be pinned for writing from page `first` on, at most `end`. */
  pinnableEnd(first: number, end: number): number {
    for (const vma of this.vmas.overlapping(first, end)) {
      const there = withinFile(vma, { first, end: Math.min(end, vma.end) });
      const { device } = vma.backing;
      if (vma.first > first || (vma.prot & MMAP_PROT_WRITE) === 0 || device || there.end <= first) return first;
      first = there.end;
      if (first < vma.end) return first;
    }
    return first;
  }

  /** Are all pages of files in the range inside their files? */
  private insideFiles(first: number, end: number): boolean {
    if (!this.vmas.hasShared) return true;
    return this.vmas.overlapping(first, end).every((vma) => {
      const { shared } = vma.backing;
      return !shared || Math.min(end, vma.end) + shared.delta <= shared.file.endPage;
    });
  }

  /** Gives every page of the spans, all inside VMAs, its frame. False: out of memory, and nothing changed. */
  populate(spans: readonly Span[]): boolean {
    const placed: { map: PageMap; pieces: Piece[] }[] = [];
    for (const span of spans)
      for (const { map, first, end, block } of this.missing(span)) {
        const pieces = map.fill(first, end, block);
        if (pieces) placed.push({ map, pieces });
        else {
          for (const done of placed) done.map.takeBack(done.pieces);
          return false;
        }
      }
    return true;
  }

  /** What has to be filled in a span, widened to whole pages of the VMAs. */
  private missing({ first, end }: Span): (Span & { map: PageMap; block: number })[] {
    if (this.table.holes(first, end).length === 0) return [];
    const memory = this.vmas.overlapping(first, end).filter(({ backing }) => !backing.device);
    return memory.map((vma) => {
      const block = blockOf(vma.backing);
      const { shared } = vma.backing;
      const [map, delta] = shared ? [shared.file.cache, shared.delta] : [this.table, 0];
      const from = Math.floor((Math.max(first, vma.first) + delta) / block) * block;
      const to = Math.ceil((Math.min(end, vma.end) + delta) / block) * block;
      return { map, first: from, end: to, block };
    });
  }

  /** The frames behind populated pages. */
  pieces(first: number, end: number): Piece[] {
    if (!this.vmas.hasShared && !this.vmas.meetsDevice(first, end)) return this.table.pieces(first, end);
    return this.vmas.overlapping(first, end).flatMap((vma) => {
      const [from, to] = [Math.max(first, vma.first), Math.min(end, vma.end)];
      return this.piecesOf(vma, from, to);
    });
  }

  private piecesOf({ backing: { shared, device } }: Vma, first: number, end: number): Piece[] {
    if (device) return [{ page: first, frame: device.window.frame + first + device.delta, count: end - first }];
    if (!shared) return this.table.pieces(first, end);
    const { file, delta } = shared;
    return file.pieces(first + delta, end + delta).map((piece) => ({ ...piece, page: piece.page - delta }));
  }

  /**
   * The frames behind [first, end), brought in as a reading CPU does, up to the first page that cannot be read. `huge`: the
   * page belongs to hugetlb.
   */
  touch(first: number, end: number): (Piece & { huge: boolean })[] {
    const out: (Piece & { huge: boolean })[] = [];
    for (const vma of this.vmas.overlapping(first, end)) {
      const span = { first: Math.max(first, vma.first), end: Math.min(end, vma.end) };
      const next = first + out.reduce((sum, piece) => sum + piece.count, 0);
      if (span.first !== next || (vma.prot & MMAP_PROT_READ) === 0 || vma.backing.device) break;
      const there = withinFile(vma, span);
      if (!this.populate([there])) break;
      const huge = blockOf(vma.backing) > 1;
      for (const piece of this.pieces(there.first, there.end)) out.push({ ...piece, huge });
    }
    return out;
  }

  /**
   * fork(2): the parent's VMAs, its private pages as copies and its shared ones as they are. Copying at once is what a
   * program can see of copy-on-write: the parent keeps its frames, so its pins and theirs agree (semantics B3.6). False:
   * out of memory, and nothing changed.
   */
  copyFrom(parent: AddressSpace): boolean {
    for (const { first, end, backing } of parent.vmas.all())
      for (const { page, count } of backing.shared ? [] : parent.table.pieces(first, end))
        if (!this.table.fill(page, page + count, blockOf(backing))) {
          this.table.clear();
          return false;
        }
    this.vmas.copyFrom(parent.vmas);
    for (const { page, frame, count } of parent.table.all()) this.copyBytes(page, frame, count);
    return true;
  }

  private copyBytes(page: number, frame: number, count: number): void {
    const { bytes } = this.frames;
    const written = [...bytes.nonZero(frame, frame + count)];
    for (const each of written) {
      const at = page + each.frame - frame;
      bytes.write(this.table.pieces(at, at + 1)[0]!.frame * PAGE, each.bytes);
    }
  }

  tableRuns(): IterableIterator<Piece> {
    return this.table.all();
  }

  /** Pages that have frames. */
  get resident(): number {
    return this.table.pages;
  }

  get vmaCount(): number {
    return this.vmas.size;
  }

  /** Bytes of address space in use. */
  get mappedBytes(): number {
    let pages = 0;
    for (const { first, end } of this.vmas.all()) pages += end - first;
    return pages * PAGE;
  }

  /** The process is gone: every page goes; pinned frames stay with their pins (semantics B3.6). */
  clear(): void {
    this.table.clear();
    this.vmas.clear();
  }

  /** Pages with a frame but without a VMA: must be none. */
  strayPages(): number {
    let stray = 0;
    for (const { page, count } of this.table.all()) if (!this.vmas.allows(page, page + count)) stray += count;
    return stray;
  }

  /** VMAs of a file, for the audit. */
  *sharedVmas(): IterableIterator<{ file: MemoryFile; mayWrite: boolean }> {
    for (const { backing } of this.vmas.all()) if (backing.shared) yield backing.shared;
  }

  /** Pages of mlock'ed VMAs, counted one by one: what {@link lockedPages} must be. */
  countLocked(): number {
    return this.vmas.lockedIn(0, END_PAGE);
  }

  encode(w: ByteWriter, view: View): void {
    this.vmas.encode(w, view);
    if (view === 'snapshot') this.table.encode(w);
    else this.table.encodeContents(w);
  }

  decode(r: ByteReader, fileOf: (id: number) => MemoryFile): void {
    this.vmas = VmaSet.decode(r, fileOf, this.frames.windows);
    this.table.decode(r);
  }
}

/** The part of a VMA's span that lies inside its file. */
function withinFile({ backing: { shared } }: Vma, { first, end }: Span): Span {
  return shared ? { first, end: Math.max(first, Math.min(end, shared.file.endPage - shared.delta)) } : { first, end };
}

/** The pages that [va, va + length) touches. */
function pagesOf(va: number, length: number): Span {
  const first = Math.floor(va / PAGE);
  return { first, end: length === 0 ? first : Math.ceil((va + length) / PAGE) };
}

/** The part [from, to) of a buffer for `va` that lies in this piece, and its physical address. */
function physical(
  { page, frame, count }: Piece,
  va: number,
  length: number,
): { address: number; from: number; to: number } {
  const from = Math.max(page * PAGE - va, 0);
  const to = Math.min((page + count) * PAGE - va, length);
  return { address: frame * PAGE + (va + from - page * PAGE), from, to };
}
