/**
 * What it costs to start a guest that has devices, in seconds.
 *
 * Words: to *clear* is to fill fresh pages with zeros before a guest may see them, to *pin* to look each page up and hold it for
 * DMA. Memory that was *preallocated* is clear already when it is pinned, and the time has gone before.
 * Sources: pinning and clearing: D. Jordan's measurements for "vfio/type1: Cache locked_vm to ease mmap_lock contention" (LKML
 * 2022-01-05, 20220106004656.126790-9), Xeon 8167M and EPYC 7J13. Concurrent starts: FastIOV (EuroSys 2025,
 * 10.1145/3689031.3696066). Reset: the boot of a GPU's firmware when it is bound (tinygrad pull request 17041).
 */
export const PAGES = ['hugetlb', 'thp'] as const;
export type Pages = (typeof PAGES)[number];

export interface MemoryCosts {
  /** To clear one GiB by one thread. */
  readonly clear: number;
  /** To pin one GiB of each kind of page. */
  readonly pin: Readonly<Record<Pages, number>>;
  /** To preallocate one GiB by 16 threads: ordinary memory's threads wait for one another. */
  readonly prealloc: Readonly<Record<Pages, number>>;
  /** How much faster 16 threads of the kernel clear, and pin. */
  readonly parallel: { readonly clear: number; readonly pin: Readonly<Record<Pages, number>> };
  /** Of a process that starts, and of each GiB of its address space. */
  readonly process: number;
  readonly perGib: number;
}

export const MEMORY_COSTS = {
  intel: {
    clear: 0.198,
    pin: { hugetlb: 0.005, thp: 0.04 },
    prealloc: { hugetlb: 0.0185, thp: 0.308 },
    parallel: { clear: 12.5, pin: { hugetlb: 8.5, thp: 9.7 } },
    process: 0.6,
    perGib: 0.003,
  },
  amd: {
    clear: 0.0705,
    pin: { hugetlb: 0.002, thp: 0.0202 },
    prealloc: { hugetlb: 0.0165, thp: 0.3235 },
    parallel: { clear: 4.2, pin: { hugetlb: 8.1, thp: 6.6 } },
    process: 0.45,
    perGib: 0.0008,
  },
} as const satisfies Record<string, MemoryCosts>;
export type Processor = keyof typeof MEMORY_COSTS;

export interface Pinning {
  readonly gib: number;
  readonly pages: Pages;
  readonly preallocated: boolean;
  /** The kernel clears and pins by 16 threads (padata). */
  readonly parallel: boolean;
}

/** Of mapping a guest's memory for DMA. */
export function pinSeconds(costs: MemoryCosts, { gib, pages, preallocated, parallel }: Pinning): number {
  const clear = preallocated ? 0 : costs.clear / (parallel ? costs.parallel.clear : 1);
  const pin = costs.pin[pages] / (parallel ? costs.parallel.pin[pages] : 1);
  return gib * (clear + pin);
}

/** From the start of the process until it is ready to run its guest. */
export function initSeconds(costs: MemoryCosts, pinning: Pinning): number {
  const { gib, pages, preallocated } = pinning;
  const before = preallocated ? gib * costs.prealloc[pages] : 0;
  return before + pinSeconds(costs, pinning) + costs.process + gib * costs.perGib;
}

/** What starts on one host cost one another. */
export interface HostCosts {
  readonly memory: MemoryCosts;
  /** Between two launches: a host's runtime lets one in at a time. */
  readonly launch: number;
  /** The lock of a device set is held while one device of it is opened. VFs of one PF are a set. */
  readonly devset: number;
  /** Starts at once that share the memory's bandwidth before each has less than one thread could use: GiB/s. */
  readonly bandwidth: number;
  /** To reset a device before its guest has it, and after. */
  readonly reset: number;
  /** Of a guest from its first instruction until it is ready. */
  readonly boot: number;
  /** To copy a guest's memory to another host: GiB/s. */
  readonly migration: number;
}

export const hostCosts = (processor: Processor): HostCosts => ({
  memory: MEMORY_COSTS[processor],
  launch: 0.015,
  devset: 0.098,
  bandwidth: 16,
  reset: 0.233,
  boot: 2.5,
  migration: 2.5,
});
