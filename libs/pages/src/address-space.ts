/**
 * One process's memory: its VMAs and its page table (the kernel's mm_struct, as far as devices are concerned).
 *
 * Words: pages are 4 KiB virtual page numbers, `va` and lengths are bytes. To *populate* is to give pages their frames.
 * Rule: memory costs nothing before somebody writes to it or pins it; a page that was never written reads as zero.
 */
import { MMAP_PROT_READ, MMAP_PROT_WRITE, type ByteReader, type ByteWriter, type Run, type View } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import type { Span } from './extents.js';
import { PAGE } from './frame-bytes.js';
import type { Frames } from './frames.js';
import { type Piece, RunMap } from './run-map.js';
import { type Backing, blockOf, END_PAGE, LOWEST_PAGE, MAX_VMAS, VmaSet } from './vma-set.js';

/** Bits of mmap's and mprotect's `prot` that exist: read, write, execute. */
const PROT_ALL = 7;
/** 4 KiB, and the hugetlb sizes of x86-64: 2 MiB and 1 GiB. */
const PAGE_SHIFTS: readonly number[] = [12, 21, 30];

interface Mapping {
  readonly va: number;
  readonly length: number;
  readonly prot: number;
  readonly pageShift: number;
}

export class AddressSpace {
  private vmas = new VmaSet();
  private table = new RunMap();

  constructor(private readonly frames: Frames) {}

  /**
   * Private anonymous memory; answers its address. The length is rounded up to whole pages. EINVAL: length 0, unknown
   * page size or protection, fixed address not on a page; EPERM: fixed address below vm.mmap_min_addr; ENOMEM: no room,
   * beyond user space, or too many VMAs; EEXIST: the fixed range is in use (MAP_FIXED_NOREPLACE).
   */
  mmap({ va, length, prot, pageShift }: Mapping): Result<number> {
    if (length === 0 || prot > PROT_ALL || !PAGE_SHIFTS.includes(pageShift)) return fail('EINVAL');
    const backing: Backing = { kind: 'anonymous', pageShift };
    const block = blockOf(backing);
    const pages = Math.ceil(length / (PAGE * block)) * block;
    if (pages > END_PAGE || this.vmas.size > MAX_VMAS) return fail('ENOMEM');
    const where = va === 0 ? ok(this.vmas.place(pages, backing)) : this.fixed(va, pages, block);
    if (!where.ok) return where;
    if (where.value === undefined) return fail('ENOMEM');
    this.vmas.insert({ first: where.value, end: where.value + pages, prot, backing });
    return ok(where.value * PAGE);
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
    const first = va / PAGE;
    const end = first + Math.ceil(length / PAGE);
    if (!Number.isInteger(first) || length === 0 || end > END_PAGE) return fail('EINVAL');
    const removed = this.vmas.remove(first, end);
    if (removed.ok) this.drop(first, end);
    return removed;
  }

  private drop(first: number, end: number): void {
    for (const run of this.table.remove(first, end)) this.frames.unmap(run);
  }

  /** EINVAL: not on a page, unknown protection, through a hugetlb page; ENOMEM: a hole in the range, or too many VMAs. */
  mprotect(va: number, length: number, prot: number): Result<void> {
    const first = va / PAGE;
    if (!Number.isInteger(first) || prot > PROT_ALL) return fail('EINVAL');
    const end = first + Math.ceil(length / PAGE);
    return end > END_PAGE ? fail('ENOMEM') : this.vmas.protect(first, end, prot);
  }

  /** Every x86 page with any permission can be read. EFAULT: a byte of it cannot. */
  read(va: number, length: number): Result<Uint8Array> {
    const { first, end } = pagesOf(va, length);
    if (!this.vmas.allows(first, end, PROT_ALL)) return fail('EFAULT');
    const out = new Uint8Array(length);
    for (const piece of this.table.pieces(first, end)) {
      const { address, from, to } = physical(piece, va, length);
      this.frames.bytes.read(address, out.subarray(from, to));
    }
    return ok(out);
  }

  /** EFAULT: a byte of it cannot be written; ENOMEM: the host is out of memory. Either way nothing was written. */
  write(va: number, data: Uint8Array): Result<void> {
    const { first, end } = pagesOf(va, data.length);
    if (!this.vmas.allows(first, end, MMAP_PROT_WRITE)) return fail('EFAULT');
    if (!this.populate([{ first, end }])) return fail('ENOMEM');
    for (const piece of this.table.pieces(first, end)) {
      const { address, from, to } = physical(piece, va, data.length);
      this.frames.bytes.write(address, data.subarray(from, to));
    }
    return ok(undefined);
  }

  /**
   * May these pages be pinned? With write intent every page needs a writable VMA, else a readable one: a pin does not
   * override protection (semantics B2.3, trace a013).
   */
  pinnable(first: number, end: number, writable: boolean): boolean {
    return this.vmas.allows(first, end, writable ? MMAP_PROT_WRITE : MMAP_PROT_READ);
  }

  /** Gives every page of the spans, all inside VMAs, its frame. False: out of memory, and nothing changed. */
  populate(spans: readonly Span[]): boolean {
    const placed: Piece[] = [];
    for (const span of spans)
      for (const { first, end, block } of this.missing(span)) {
        const runs = this.frames.allocate(end - first, block);
        if (runs === undefined) return this.rollBack(placed);
        this.install(first, runs, placed);
      }
    return true;
  }

  private install(page: number, runs: readonly Run[], placed: Piece[]): void {
    for (const { frame, count } of runs) {
      this.table.put(page, frame, count);
      placed.push({ page, frame, count });
      page += count;
    }
  }

  private rollBack(placed: readonly Piece[]): false {
    for (const { page, count } of placed) this.drop(page, page + count);
    return false;
  }

  /** The holes of the page table in a span, widened to whole pages of their VMA. */
  private missing({ first, end }: Span): (Span & { block: number })[] {
    const out: (Span & { block: number })[] = [];
    if (this.table.holes(first, end).length === 0) return out;
    for (const vma of this.vmas.overlapping(first, end)) {
      const block = blockOf(vma.backing);
      const from = Math.floor(Math.max(first, vma.first) / block) * block;
      const to = Math.ceil(Math.min(end, vma.end) / block) * block;
      for (const hole of this.table.holes(from, to)) out.push({ ...hole, block });
    }
    return out;
  }

  /** The frames behind populated pages. */
  pieces(first: number, end: number): Piece[] {
    return this.table.pieces(first, end);
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
      if (span.first !== next || (vma.prot & MMAP_PROT_READ) === 0 || !this.populate([span])) break;
      const huge = blockOf(vma.backing) > 1;
      for (const piece of this.pieces(span.first, span.end)) out.push({ ...piece, huge });
    }
    return out;
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
    for (const run of this.table.all()) this.frames.unmap(run);
    this.table = new RunMap();
    this.vmas.clear();
  }

  /** Pages with a frame but without a VMA: must be none. */
  strayPages(): number {
    let stray = 0;
    for (const { page, count } of this.table.all()) if (!this.vmas.allows(page, page + count)) stray += count;
    return stray;
  }

  encode(w: ByteWriter, view: View): void {
    this.vmas.encode(w);
    if (view === 'snapshot') {
      this.vmas.encodeHint(w);
      this.table.encode(w);
    } else this.encodeContents(w);
  }

  /** Page number and bytes of every page that does not read as zero. */
  private encodeContents(w: ByteWriter): void {
    const written = [...this.table.all()].flatMap(({ page, frame, count }) =>
      Array.from(this.frames.bytes.nonZero(frame, frame + count), (f) => ({
        page: page + f.frame - frame,
        bytes: f.bytes,
      })),
    );
    w.list(written, ({ page, bytes }) => {
      w.num(page);
      w.raw(bytes);
    });
  }

  decode(r: ByteReader): void {
    this.vmas = VmaSet.decode(r);
    this.table = RunMap.decode(r);
  }
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
