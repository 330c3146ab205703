/**
 * Start-up costs as others measured them, beside what the model says.
 *
 * Sources: as in start-costs.ts.
 */
import { HostStarts, type Start } from './host-starts.js';
import { hostCosts, initSeconds, MEMORY_COSTS, type Pages, pinSeconds, type Processor } from './start-costs.js';

export interface PinMeasurement {
  readonly processor: Processor;
  readonly pages: Pages;
  /** Of the program that preallocates; 0: the kernel clears pages as it pins them. */
  readonly threads: number;
  readonly gib: number;
  /** Seconds: to pin, and from the start of the process until it is ready; by the kernel as it was. */
  readonly pin: number;
  readonly init: number;
  /** The same with 16 padata threads. */
  readonly padataPin: number;
  readonly padataInit: number;
}

/** Processor, pages, threads that preallocated, GiB; then pin and init of the kernel as it was, and with 16 padata threads. */
const ROWS: readonly (readonly [Processor, Pages, number, number, number, number, number, number])[] = [
  ['intel', 'hugetlb', 0, 16, 2.9, 3.8, 0.3, 0.7],
  ['intel', 'hugetlb', 0, 128, 26.6, 28.0, 2.2, 3.2],
  ['intel', 'hugetlb', 0, 360, 75.1, 77.5, 6.3, 8.4],
  ['intel', 'hugetlb', 16, 16, 0.1, 0.7, 0.0, 0.7],
  ['intel', 'hugetlb', 16, 128, 0.6, 3.6, 0.1, 3.0],
  ['intel', 'hugetlb', 16, 360, 1.8, 9.4, 0.2, 7.8],
  ['intel', 'thp', 0, 16, 3.3, 4.2, 0.4, 1.0],
  ['intel', 'thp', 0, 128, 29.5, 30.5, 2.5, 3.2],
  ['intel', 'thp', 0, 360, 83.8, 85.1, 7.0, 8.0],
  ['intel', 'thp', 16, 16, 0.6, 6.1, 0.1, 5.6],
  ['intel', 'thp', 16, 128, 5.1, 44.5, 0.5, 40.3],
  ['intel', 'thp', 16, 360, 14.4, 125.4, 1.5, 111.5],
  ['amd', 'hugetlb', 0, 16, 1.1, 1.5, 0.2, 0.6],
  ['amd', 'hugetlb', 0, 128, 9.6, 10.2, 2.2, 2.8],
  ['amd', 'hugetlb', 0, 980, 74.1, 75.7, 17.1, 19.2],
  ['amd', 'hugetlb', 16, 16, 0.0, 0.6, 0.0, 0.6],
  ['amd', 'hugetlb', 16, 128, 0.3, 2.7, 0.0, 2.4],
  ['amd', 'hugetlb', 16, 980, 2.0, 18.2, 0.3, 16.4],
  ['amd', 'thp', 0, 16, 1.2, 1.7, 0.3, 0.7],
  ['amd', 'thp', 0, 128, 10.9, 11.4, 2.7, 3.1],
  ['amd', 'thp', 0, 980, 85.3, 86.1, 18.3, 19.0],
  ['amd', 'thp', 16, 16, 0.5, 6.2, 0.1, 5.7],
  ['amd', 'thp', 16, 128, 3.4, 45.5, 0.4, 42.1],
  ['amd', 'thp', 16, 980, 19.6, 337.9, 3.0, 320.4],
];

export const PIN_MEASUREMENTS: readonly PinMeasurement[] = ROWS.map(
  ([processor, pages, threads, gib, pin, init, padataPin, padataInit]) => ({
    ...{ processor, pages, threads, gib, pin, init, padataPin, padataInit },
  }),
);

/** What the model says of a row, in its order of columns. */
export function modelledPin({
  processor,
  pages,
  threads,
  gib,
}: PinMeasurement): Omit<PinMeasurement, 'processor' | 'pages' | 'threads' | 'gib'> {
  const costs = MEMORY_COSTS[processor];
  const alone = { gib, pages, preallocated: threads > 0, parallel: false };
  const padata = { ...alone, parallel: true };
  return {
    pin: pinSeconds(costs, alone),
    init: initSeconds(costs, alone),
    padataPin: pinSeconds(costs, padata),
    padataInit: initSeconds(costs, padata),
  };
}

/** The part of the devset lock, in percent of the start of guests that start at once: on average, and at the 99th percentile. */
export const FASTIOV = { guests: 200, gib: 0.5, lockMean: 48.1, lockP99: 59.0, mapMean: 18.6 } as const;

/** Guests that start at once on one host, each with a VF of one PF; the quickest first. */
export function startsAtOnce(guests: number, gib: number): readonly Start[] {
  const host = new HostStarts(hostCosts('intel'));
  const made = Array.from({ length: guests }, () =>
    host.start({ host: 0, at: 0, devsets: [0], gib, pages: 'hugetlb' }),
  );
  return made.sort((a, b) => a.total - b.total);
}

/** The same figures as FASTIOV's, by the model. */
export function modelledLock(guests: number, gib: number): { lockMean: number; lockP99: number; mapMean: number } {
  const made = startsAtOnce(guests, gib);
  const sum = (of: (start: Start) => number): number => made.reduce((so, each) => so + of(each), 0);
  const total = sum((each) => each.total);
  const p99 = made[Math.floor(0.99 * made.length)]!;
  return {
    lockMean: (100 * sum(({ lock }) => lock)) / total,
    lockP99: (100 * p99.lock) / p99.total,
    mapMean: (100 * sum(({ map }) => map)) / total,
  };
}
