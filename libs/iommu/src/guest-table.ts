/**
 * A guest's own page table on top of a parent, and what the IOMMU remembers of it.
 *
 * Words: an *IPA* is an address of the parent: what the guest takes for physical; the *IOTLB* keeps walks that succeeded, the
 * *configuration* what was read on the way to the first table. `generation` counts invalidations.
 * Rule: what is remembered is used until it is invalidated, however the guest's memory changes meanwhile; a walk that an
 * invalidation overtook is not remembered (I52). Nothing of the parent is: a page that it unmaps is gone at once.
 */
import type { GuestTable as Format } from './kinds.js';

/** Pages of 4 KiB that one table's IOTLB holds; the oldest gives way. */
export const MAX_IOTLB = 4096;
/** Descriptors of the first table that are kept with the configuration. */
const MAX_ROOTS = 512;

export interface IotlbEntry {
  /** IPA page of 4 KiB. */
  readonly page: number;
  /** Pages of the leaf, all of which an invalidation of one takes along. */
  readonly span: number;
  readonly writable: boolean;
  /** The table says already that the page was written. */
  readonly dirty: boolean;
  readonly asid: number;
}

/** A context descriptor, as far as it was read: four words. */
export type ContextWords = readonly bigint[];

/** IOVA pages have 52 bits at most and PASIDs 20: the pair is a string. */
const keyOf = (pasid: number, page: number): string => `${pasid}:${page}`;

export class GuestTable {
  generation = 0;
  readonly iotlb = new Map<string, IotlbEntry>();
  readonly contexts = new Map<number, ContextWords>();
  readonly roots = new Map<bigint, bigint>();

  constructor(
    readonly format: Format,
    /** The driver's data, judged: {flags, address, width} of VT-d, two words of an SMMU's stream table entry. */
    readonly words: readonly bigint[],
  ) {}

  lookup(pasid: number, page: number): IotlbEntry | undefined {
    return this.iotlb.get(keyOf(pasid, page));
  }

  remember(pasid: number, page: number, entry: IotlbEntry): void {
    const key = keyOf(pasid, page);
    this.iotlb.delete(key);
    if (this.iotlb.size >= MAX_IOTLB) this.iotlb.delete(this.iotlb.keys().next().value!);
    this.iotlb.set(key, entry);
  }

  rememberRoot(at: bigint, descriptor: bigint): void {
    if (this.roots.size < MAX_ROOTS) this.roots.set(at, descriptor);
  }

  /** The guest's own invalidation: leaves that overlap the pages, of one address space or of all. */
  invalidate(first: number, count: number, asid?: number): void {
    this.generation++;
    this.roots.clear();
    for (const [key, entry] of this.iotlb) {
      const page = Number(key.slice(key.indexOf(':') + 1));
      const leaf = page - (page % entry.span);
      const overlaps = leaf < first + count && first < leaf + entry.span;
      if (overlaps && (asid === undefined || entry.asid === asid)) this.iotlb.delete(key);
    }
  }

  invalidateAll(asid?: number): void {
    this.invalidate(0, Infinity, asid);
  }

  /** The parent has changed: walks are done anew, from the configuration on. */
  parentChanged(): void {
    this.generation++;
    this.iotlb.clear();
  }

  /** Context descriptors are read anew; one, or all. */
  forgetContexts(pasid?: number): void {
    this.generation++;
    this.roots.clear();
    if (pasid === undefined) this.contexts.clear();
    else this.contexts.delete(pasid);
  }

  /**
   * An SMMU's entry: what becomes of a DMA. An entry that is not valid aborts; with several contexts S1DSS decides about a
   * DMA without a PASID.
   */
  configFor(pasid: number): 'translate' | 'bypass' | 'abort' {
    if (this.format === 'vtd') return 'translate';
    const [low, high] = this.words;
    const cfg = (low! & 1n) === 0n ? 0n : (low! >> 1n) & 7n;
    if (cfg !== 5n) return cfg === 4n ? 'bypass' : 'abort';
    const dss = this.contextBits === 0 || pasid > 0 ? 2n : high! & 3n;
    return dss === 0n ? 'abort' : dss === 1n ? 'bypass' : 'translate';
  }

  /** log2 of an SMMU's contexts. */
  get contextBits(): number {
    return this.format === 'smmu' ? Number(this.words[0]! >> 59n) : 0;
  }

  /** A device needs an id in the virtual IOMMU, under which its faults and invalidations go. */
  get needsId(): boolean {
    return this.format === 'smmu' && ((this.words[0]! >> 1n) & 7n) === 5n;
  }
}
