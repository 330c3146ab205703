/**
 * The virtual memory areas (VMAs) of one process.
 *
 * Words: a *VMA* is a range of pages with one protection and one backing; pages are 4 KiB virtual page numbers.
 * Rule: VMAs are disjoint, and plain anonymous neighbours that differ in nothing are one VMA, as in Linux, because the
 * number of VMAs is limited (vm.max_map_count).
 */
import type { ByteReader, ByteWriter } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import type { Span } from './extents.js';
import { OrderedMap } from './ordered-map.js';

/** Where the pages of a VMA come from. `pageShift`: log2 of a page in bytes; above 12 it is a hugetlb area. */
export interface Backing {
  readonly kind: 'anonymous';
  readonly pageShift: number;
}
export interface Vma extends Span {
  /** PROT_READ | PROT_WRITE | PROT_EXEC. */
  readonly prot: number;
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

export class VmaSet {
  /** First page -> the rest. */
  private readonly areas = new OrderedMap<Vma>();
  /** Placement looks below this page first; everything above was full when it last looked. */
  private hint = MMAP_TOP;

  get size(): number {
    return this.areas.size;
  }

  at(page: number): Vma | undefined {
    const vma = this.areas.floor(page)?.value;
    return vma && vma.end > page ? vma : undefined;
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

  /** Room for `pages` pages, top-down as Linux does; undefined when there is none. Changes nothing but the hint. */
  place(pages: number, backing: Backing): number | undefined {
    const align = Math.max(blockOf(backing), PLACEMENT);
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
    this.areas.set(vma.first, vma);
    this.join(vma.end);
    this.join(vma.first);
  }

  /** Makes one VMA of the two that meet at `page`, when nothing tells them apart. */
  private join(page: number): void {
    const right = this.areas.get(page);
    const left = right && this.at(page - 1);
    if (!left || isHuge(left) || isHuge(right) || left.prot !== right.prot) return;
    this.areas.delete(page);
    this.areas.set(left.first, { ...left, end: right.end });
  }

  /** Would a cut at `page` go through a hugetlb page? Linux refuses that with EINVAL. */
  private breaksHugePage(page: number): boolean {
    const vma = this.at(page);
    return vma !== undefined && vma.first !== page && page % blockOf(vma.backing) !== 0;
  }

  private split(page: number): void {
    const vma = this.at(page);
    if (vma === undefined || vma.first === page) return;
    this.areas.set(vma.first, { ...vma, end: page });
    this.areas.set(page, { ...vma, first: page });
  }

  /** Removes [first, end). ENOMEM: the hole would make one VMA too many; EINVAL: it would cut a hugetlb page. */
  remove(first: number, end: number): Result<void> {
    const around = this.at(first);
    if (around && around.first < first && around.end > end && this.size >= MAX_VMAS) return fail('ENOMEM');
    if (this.breaksHugePage(first) || this.breaksHugePage(end)) return fail('EINVAL');
    this.split(first);
    this.split(end);
    for (const vma of this.overlapping(first, end)) this.areas.delete(vma.first);
    const room = this.areas.higher(first)?.key ?? MMAP_TOP;
    this.hint = Math.max(this.hint, Math.min(room, MMAP_TOP));
    return ok(undefined);
  }

  /**
   * Changes the protection of [first, end). ENOMEM at the first page without a VMA, or at a split that would make one
   * VMA too many; EINVAL at a cut through a hugetlb page. As in Linux, VMAs before that point are changed already.
   */
  protect(first: number, end: number, prot: number): Result<void> {
    for (let page = first; page < end;) {
      const vma = this.at(page);
      if (vma === undefined) return fail('ENOMEM');
      const changed = this.protectOne(vma, page, Math.min(vma.end, end), prot);
      if (!changed.ok) return changed;
      page = Math.min(vma.end, end);
    }
    return ok(undefined);
  }

  private protectOne(vma: Vma, first: number, end: number, prot: number): Result<void> {
    if (vma.prot === prot) return ok(undefined);
    if (this.breaksHugePage(first) || this.breaksHugePage(end)) return fail('EINVAL');
    const splits = Number(first > vma.first) + Number(end < vma.end);
    if (splits > 0 && this.size + splits > MAX_VMAS) return fail('ENOMEM');
    this.split(first);
    this.split(end);
    this.areas.set(first, { ...vma, first, end, prot });
    this.join(end);
    this.join(first);
    return ok(undefined);
  }

  clear(): void {
    this.areas.clear();
    this.hint = MMAP_TOP;
  }

  *all(): IterableIterator<Vma> {
    for (const { value } of this.areas.entries()) yield value;
  }

  /** What a client can see of it. */
  encode(w: ByteWriter): void {
    w.list([...this.all()], (vma) => {
      w.num(vma.first);
      w.num(vma.end);
      w.u8(vma.prot);
      w.u8(vma.backing.pageShift);
    });
  }

  encodeHint(w: ByteWriter): void {
    w.num(this.hint);
  }

  static decode(r: ByteReader): VmaSet {
    const out = new VmaSet();
    const rows = r.list(() => [r.num(), r.num(), r.u8(), r.u8()] as const);
    for (const [first, end, prot, pageShift] of rows)
      out.areas.set(first, { first, end, prot, backing: { kind: 'anonymous', pageShift } });
    out.hint = r.num();
    return out;
  }
}
