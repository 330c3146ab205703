/**
 * The mappings of a container, in the order of their IOVAs.
 *
 * Words: IOVAs are counted in pages of 4 KiB here; [first, end) is a range of them.
 * Rule: mappings are disjoint (invariant I28), and whole: none is ever cut.
 */
export interface Mapping {
  readonly first: number;
  readonly count: number;
  /** PROT_READ and PROT_WRITE of the iommu protocol. */
  readonly prot: number;
  /** The process whose memory it is. */
  client: string;
  /** Its memory, at the pages service. */
  readonly store: number;
  /** How often drivers of mediated devices have pinned its pages, by page from its first. */
  readonly pins: Map<number, number>;
  /** Pages that drivers have pinned or written since the last report, while dirty pages are collected. */
  readonly dirty: Set<number>;
  /** Its memory is pinned, and in every domain; false while the container has no domain. */
  pinned: boolean;
  /** The process has said that its address is not to be used any more. */
  vaddrInvalid: boolean;
}

export const PAGE_SHIFT = 12n;
/** Pages of the 64-bit space. */
export const END_PAGE = 2 ** 52;

/** Of a new mapping. */
export const untouched = (): Pick<Mapping, 'pins' | 'dirty'> => ({ pins: new Map(), dirty: new Set() });

export const endOf = ({ first, count }: Mapping): number => first + count;

export class Mappings {
  private readonly sorted: Mapping[] = [];

  get size(): number {
    return this.sorted.length;
  }

  [Symbol.iterator](): Iterator<Mapping> {
    return this.sorted[Symbol.iterator]();
  }

  /** Index of the first mapping that ends behind this page. */
  private indexAt(page: number): number {
    let [low, high] = [0, this.sorted.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (endOf(this.sorted[middle]!) > page) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** The mapping that has this page. */
  at(page: number): Mapping | undefined {
    return this.overlapping(page, page + 1)[0];
  }

  /** Mappings that have a page in [first, end), in order. */
  overlapping(first: number, end: number): Mapping[] {
    const from = this.indexAt(first);
    let to = from;
    while (to < this.sorted.length && this.sorted[to]!.first < end) to++;
    return this.sorted.slice(from, to);
  }

  isFree(first: number, end: number): boolean {
    const next = this.sorted[this.indexAt(first)];
    return next === undefined || next.first >= end;
  }

  /** The caller has asked `isFree`. */
  insert(mapping: Mapping): void {
    this.sorted.splice(this.indexAt(mapping.first), 0, mapping);
  }

  /** Neighbours in order, all of them here: nothing that stays lies between them. */
  remove(gone: readonly Mapping[]): void {
    const [first] = gone;
    if (first) this.sorted.splice(this.indexAt(first.first), gone.length);
  }
}
