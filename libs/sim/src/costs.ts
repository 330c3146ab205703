/**
 * What work costs in virtual time.
 *
 * Words: a *leaf* is an entry of a page table that maps 4 KiB, 2 MiB or 1 GiB; a *flush* makes cleared entries unusable; a
 * *fault* brings one piece of a BAR into a process's page table.
 * Rule: costs are ns, and change no answer: only when it comes. What nobody measured is an estimate, and marked as one.
 */
export interface Costs {
  /** Pinning one page of 4 KiB, on top of its run of contiguous pages. */
  readonly pinPage: number;
  readonly pinRun: number;
  readonly unpinPage: number;
  /** Writing and clearing one leaf of an IOMMU's table. */
  readonly mapLeaf: number;
  readonly unmapLeaf: number;
  readonly flush: number;
  readonly fault: number;
  /** log2 of the largest piece of a BAR that one fault maps, in 4 KiB pages: 0, 9 or 18. Before Linux 6.12: 0. */
  readonly faultOrder: number;
}

export const DEFAULT_COSTS: Costs = {
  /** 128 GiB of transparent huge pages that were there already: 5.1 s (Xeon 8167M, Linux 5.14, LKML 20220106004656.126790-9). */
  pinPage: 152,
  /** Estimates from here on. */
  pinRun: 200,
  unpinPage: 30,
  mapLeaf: 40,
  unmapLeaf: 40,
  flush: 1500,
  fault: 900,
  faultOrder: 18,
};

/** Faults map 4 KiB, 2 MiB or 1 GiB. */
export const FAULT_ORDERS = [18, 9, 0] as const;
export type FaultOrder = (typeof FAULT_ORDERS)[number];

/** An hour: more would only be a typing error. */
const MOST_NS = 3.6e12;

/** Costs that differ from the default. Throws an Error for people: no object, an unknown name, no such number. */
export function readCosts(given: unknown): Costs {
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw new Error(`Costs are an object of numbers, such as {"flush": ${DEFAULT_COSTS.flush}}.`);
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(DEFAULT_COSTS, name))
      throw new Error(`There is no cost ${JSON.stringify(name)}. Known are: ${Object.keys(DEFAULT_COSTS).join(', ')}.`);
    if (name === 'faultOrder' && !FAULT_ORDERS.some((order) => order === value))
      throw new Error(`faultOrder: ${JSON.stringify(value)} is none of 0, 9 and 18.`);
    if (typeof value !== 'number' || !(value >= 0 && value <= MOST_NS))
      throw new Error(`${name}: ${JSON.stringify(value)} is no number of ns from 0 to ${MOST_NS}.`);
  }
  return { ...DEFAULT_COSTS, ...given };
}
