/**
 * The virtual memory areas (VMAs) of one process.
 *
 * Words: a *VMA* is a range of pages with one protection and one backing; pages are 4 KiB virtual page numbers.
 * Rule: VMAs are disjoint, and plain anonymous neighbours that differ in nothing are one VMA, as in Linux, because the
 * number of VMAs is limited (vm.max_map_count).
 */
import { type ByteReader, type ByteWriter, MMAP_PROT_WRITE, type View } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import type { DeviceWindow, DeviceWindows } from './device-windows.js';
import type { Span } from './extents.js';
import type { MemoryFile } from './memory-file.js';
import { OrderedMap } from './ordered-map.js';

/** A shared mapping of a file in memory: page p of the process is page p + `delta` of the file. */
export interface SharedPages {
  readonly file: MemoryFile;
  readonly delta: number;
  /** May it be writable? Not when the file was opened for reading only, or is sealed against writing. */
  readonly mayWrite: boolean;
}
/** A mapping of a device's region: page p of the process is page p + `delta` of the window. */
export interface DevicePages {
  readonly window: DeviceWindow;
  readonly delta: number;
}
/** Where the pages of a VMA come from. `pageShift`: log2 of a page in bytes; above 12 it is a hugetlb area. */
export interface Backing {
  readonly pageShift: number;
  /** Undefined: private anonymous memory. */
  readonly shared: SharedPages | undefined;
  readonly device?: DevicePages | undefined;
}
export interface Vma extends Span {
  /** PROT_READ | PROT_WRITE | PROT_EXEC. */
  readonly prot: number;
  /** mlock'ed: its pages are charged to VmLck. */
  readonly locked: boolean;
  readonly backing: Backing;
}

/** vm.max_map_count of Linux: mmap is refused above it, a split at it. */
export const MAX_VMAS = 65530;
/** First page that the kernel chooses for nobody (vm.mmap_min_addr = 64 KiB ends below it). */
export const LOWEST_PAGE = 16;
/** End of user space: TASK_SIZE of x86-64 with 4 levels, 0x7ffffffff000, in pages. */
export const END_PAGE = 0x7ffffffff;
/** mmap chooses below this page: above it programs have their stack. */
const MMAP_TOP = 0x7ffff7e00;
/** Plain anonymous areas are placed on 2 MiB boundaries, so that an IOMMU can use its large pages. */
const PLACEMENT = 512;

/** Pages of 4 KiB in one page of the backing. */
export const blockOf = (backing: Backing): number => 2 ** (backing.pageShift - 12);

const isHuge = (vma: Vma): boolean => vma.backing.pageShift > 12;

/** Do the backings of two neighbours continue each other? */
const continues = (a: Backing, b: Backing): boolean =>
  a.shared?.file === b.shared?.file &&
  a.shared?.delta === b.shared?.delta &&
  a.shared?.mayWrite === b.shared?.mayWrite &&
  a.device?.window === b.device?.window &&
  a.device?.delta === b.device?.delta;

export class VmaSet {
  /** First page -> the rest. */
  private readonly areas = new OrderedMap<Vma>();
  /** Placement looks below this page first; everything above was full when it last looked. */
  private hint = MMAP_TOP;
  /** VMAs of files. */
  private shared = 0;
  /** VMAs of devices. */
  private devices = 0;
  private locked = 0;

  /** Is any VMA one of a file? */
  get hasShared(): boolean {
    return this.shared > 0;
  }

  /** Is device memory in the range? */
  meetsDevice(first: number, end: number): boolean {
    return this.devices > 0 && this.overlapping(first, end).some(({ backing }) => backing.device);
  }

  /** Pages of mlock'ed VMAs. */
  get lockedPages(): number {
    return this.locked;
  }

  get size(): number {
    return this.areas.size;
  }

  at(page: number): Vma | undefined {
    const vma = this.areas.floor(page)?.value;
    return vma && vma.end > page ? vma : undefined;
  }

  /** Puts a VMA under its first page, where another one, if any, goes. A file is not let go of before it is used again. */
  private put(vma: Vma): void {
    const before = this.areas.get(vma.first);
    this.count(vma, 1);
    if (before) this.count(before, -1);
    this.areas.set(vma.first, vma);
  }

  private take(vma: Vma): void {
    this.areas.delete(vma.first);
    this.count(vma, -1);
  }

  private count({ first, end, locked, backing: { shared, device } }: Vma, by: 1 | -1): void {
    if (locked) this.locked += by * (end - first);
    if (device) this.devices += by;
    if (!shared) return;
    this.shared += by;
    if (shared.mayWrite) shared.file.writers += by;
    if (by > 0) shared.file.use();
    else shared.file.letGo();
  }

  /** VMAs that meet [first, end), uncut, ascending. */
  overlapping(first: number, end: number): Vma[] {
    const out: Vma[] = [];
    for (let vma = this.at(first) ?? this.areas.higher(first)?.value; vma && vma.first < end;) {
      out.push(vma);
      vma = this.areas.higher(vma.first)?.value;
    }
    return out;
  }

  /** Is every page of the range in a VMA, and, when `prot` is given, does each have one of its bits? */
  allows(first: number, end: number, prot?: number): boolean {
    for (let page = first; page < end;) {
      const vma = this.at(page);
      if (vma === undefined || (prot !== undefined && (vma.prot & prot) === 0)) return false;
      page = vma.end;
    }
    return true;
  }

  /** Room for `pages` pages in blocks of `block`, top-down as Linux does; undefined when there is none. Changes nothing but the hint. */
  place(pages: number, block: number): number | undefined {
    const align = Math.max(block, PLACEMENT);
    const found = this.roomBelow(this.hint, pages, align) ?? this.roomBelow(MMAP_TOP, pages, align);
    if (found !== undefined) this.hint = found;
    return found;
  }

  private roomBelow(top: number, pages: number, align: number): number | undefined {
    const under = (end: number): number => Math.floor((end - pages) / align) * align;
    for (let first = under(top); first >= LOWEST_PAGE;) {
      const vma = this.areas.floor(first + pages - 1)?.value;
      if (vma === undefined || vma.end <= first) return first;
      first = under(vma.first);
    }
    return undefined;
  }

  /** Adds a VMA where nothing is, and joins it with equal neighbours. */
  insert(vma: Vma): void {
    this.put(vma);
    this.join(vma.end);
    this.join(vma.first);
  }

  /** Makes one VMA of the two that meet at `page`, when nothing tells them apart. */
  private join(page: number): void {
    const right = this.areas.get(page);
    const left = right && this.at(page - 1);
    if (!left || isHuge(left) || isHuge(right) || left.prot !== right.prot) return;
    if (left.locked !== right.locked || !continues(left.backing, right.backing)) return;
    this.put({ ...left, end: right.end });
    this.take(right);
  }

  /** Would a cut at `page` go through a hugetlb page? Linux refuses that with EINVAL. */
  private breaksHugePage(page: number): boolean {
    const vma = this.at(page);
    return vma !== undefined && vma.first !== page && page % blockOf(vma.backing) !== 0;
  }

  private split(page: number): void {
    const vma = this.at(page);
    if (vma === undefined || vma.first === page) return;
    this.put({ ...vma, end: page });
    this.put({ ...vma, first: page });
  }

  /** Removes [first, end). ENOMEM: the hole would make one VMA too many; EINVAL: it would cut a hugetlb page. */
  remove(first: number, end: number): Result<void> {
    const around = this.at(first);
    if (around && around.first < first && around.end > end && this.size >= MAX_VMAS) return fail('ENOMEM');
    if (this.breaksHugePage(first) || this.breaksHugePage(end)) return fail('EINVAL');
    this.split(first);
    this.split(end);
    for (const vma of this.overlapping(first, end)) this.take(vma);
    const room = this.areas.higher(first)?.key ?? MMAP_TOP;
    this.hint = Math.max(this.hint, Math.min(room, MMAP_TOP));
    return ok(undefined);
  }

  /**
   * Changes the protection of [first, end). ENOMEM at the first page without a VMA, or at a split that would make one
   * VMA too many; EINVAL at a cut through a hugetlb page; EACCES: a file that may not be written. As in Linux, VMAs before
   * that point are changed already.
   */
  protect(first: number, end: number, prot: number): Result<void> {
    return this.eachPart(first, end, (vma, from, to) => {
      const readOnly = vma.backing.shared?.mayWrite === false;
      if (readOnly && (prot & MMAP_PROT_WRITE) !== 0) return fail('EACCES');
      return this.change(vma, from, to, { prot, locked: vma.locked });
    });
  }

  /** mlock(2), munlock(2) of [first, end): hugetlb areas and device memory are left as they are. ENOMEM as `protect`. */
  lock(first: number, end: number, locked: boolean): Result<void> {
    return this.eachPart(first, end, (vma, from, to) =>
      isHuge(vma) || vma.backing.device ? ok(undefined) : this.change(vma, from, to, { prot: vma.prot, locked }),
    );
  }

  /** Visits the VMAs of the range, each with the part of it that lies there; ends at a hole (ENOMEM) or a refusal. */
  private eachPart(
    first: number,
    end: number,
    visit: (vma: Vma, from: number, to: number) => Result<void>,
  ): Result<void> {
    for (let page = first; page < end;) {
      const vma = this.at(page);
      if (vma === undefined) return fail('ENOMEM');
      const to = Math.min(vma.end, end);
      const done = visit(vma, page, to);
      if (!done.ok) return done;
      page = to;
    }
    return ok(undefined);
  }

  private change(vma: Vma, first: number, end: number, to: { prot: number; locked: boolean }): Result<void> {
    if (vma.prot === to.prot && vma.locked === to.locked) return ok(undefined);
    if (this.breaksHugePage(first) || this.breaksHugePage(end)) return fail('EINVAL');
    const splits = Number(first > vma.first) + Number(end < vma.end);
    if (splits > 0 && this.size + splits > MAX_VMAS) return fail('ENOMEM');
    this.split(first);
    this.split(end);
    this.put({ ...vma, ...to, first, end });
    this.join(end);
    this.join(first);
    return ok(undefined);
  }

  /** Pages of [first, end) that are mlock'ed. */
  lockedIn(first: number, end: number): number {
    let pages = 0;
    for (const vma of this.overlapping(first, end))
      if (vma.locked) pages += Math.min(end, vma.end) - Math.max(first, vma.first);
    return pages;
  }

  /** The same VMAs, none of them mlock'ed: what a fork gives to the child. */
  copyFrom(parent: VmaSet): void {
    for (const vma of parent.all()) this.put({ ...vma, locked: false });
    this.hint = parent.hint;
  }

  clear(): void {
    for (const vma of [...this.all()]) this.take(vma);
    this.hint = MMAP_TOP;
  }

  *all(): IterableIterator<Vma> {
    for (const { value } of this.areas.entries()) yield value;
  }

  /** Files by number in a snapshot, by what a client knows of them in the meaning. */
  encode(w: ByteWriter, view: View): void {
    w.list([...this.all()], ({ first, end, prot, locked, backing: { pageShift, shared, device } }) => {
      w.num(first);
      w.num(end);
      w.u8(prot);
      w.u8(pageShift);
      w.bool(locked);
      w.u8(device ? DEVICE : shared ? FILE : ANONYMOUS);
      if (device) return encodeDevice(w, first + device.delta, device.window, view);
      if (!shared) return;
      w.num(first + shared.delta);
      w.bool(shared.mayWrite);
      if (view === 'snapshot') return w.num(shared.file.id);
      w.str(shared.file.name.maker);
      w.num(shared.file.name.serial);
    });
    if (view === 'snapshot') w.num(this.hint);
  }

  static decode(r: ByteReader, fileOf: (id: number) => MemoryFile, windows: DeviceWindows): VmaSet {
    const out = new VmaSet();
    r.list(() => {
      const [first, end, prot, pageShift, locked] = [r.num(), r.num(), r.u8(), r.u8(), r.bool()];
      const kind = r.u8();
      const delta = kind === ANONYMOUS ? 0 : r.num() - first;
      const shared = kind === FILE ? { delta, mayWrite: r.bool(), file: fileOf(r.num()) } : undefined;
      const device = kind === DEVICE ? { delta, window: windows.at(r.num())! } : undefined;
      out.put({ first, end, prot, locked, backing: { pageShift, shared, device } });
    });
    out.hint = r.num();
    return out;
  }
}

/** Kinds of backing in the encoding. */
const ANONYMOUS = 0;
const FILE = 1;
const DEVICE = 2;

function encodeDevice(w: ByteWriter, page: number, { bdf, region, frame }: DeviceWindow, view: View): void {
  w.num(page);
  if (view === 'snapshot') return w.num(frame);
  w.str(bdf);
  w.u32(region);
}
