import { HostStarts } from './host-starts.js';
import { hostCosts, initSeconds, MEMORY_COSTS, pinSeconds } from './start-costs.js';

/** Processor, pages, threads that preallocated, GiB; then pin and init of the kernel as it was, and with 16 padata threads. */
const PADATA: readonly [
  keyof typeof MEMORY_COSTS,
  'hugetlb' | 'thp',
  number,
  number,
  number,
  number,
  number,
  number,
][] = [
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

/** Within a second, and within a tenth above 10 s. */
const close = (measured: number): number => Math.max(1, measured > 10 ? measured / 10 : 0);

describe.each(PADATA)(
  '%s, %s, %d threads, %d GiB',
  (processor, pages, threads, gib, pin, init, padataPin, padataInit) => {
    const costs = MEMORY_COSTS[processor];
    const pinning = { gib, pages, preallocated: threads > 0 };

    it('pins and starts as measured, also by many threads of the kernel', () => {
      expect(Math.abs(pinSeconds(costs, { ...pinning, parallel: false }) - pin)).toBeLessThanOrEqual(close(pin));
      expect(Math.abs(pinSeconds(costs, { ...pinning, parallel: true }) - padataPin)).toBeLessThanOrEqual(
        close(padataPin),
      );
      expect(Math.abs(initSeconds(costs, { ...pinning, parallel: false }) - init)).toBeLessThanOrEqual(close(init));
      expect(Math.abs(initSeconds(costs, { ...pinning, parallel: true }) - padataInit)).toBeLessThanOrEqual(
        close(padataInit),
      );
    });
  },
);

describe('200 guests that start at once, each with a VF of one PF (FastIOV)', () => {
  const starts = (gib: number, count = 200) => {
    const host = new HostStarts(hostCosts('intel'));
    const made = Array.from({ length: count }, () =>
      host.start({ host: 0, at: 0, devsets: [0], gib, pages: 'hugetlb' }),
    );
    return made.sort((a, b) => a.total - b.total);
  };
  const mean = (of: readonly number[]): number => of.reduce((sum, each) => sum + each, 0) / of.length;
  const made = starts(0.5);
  const total = mean(made.map((each) => each.total));

  it('spend the measured part of their time on the lock of the device set', () => {
    const p99 = made[Math.floor(0.99 * made.length)]!;
    expect(Math.abs((100 * mean(made.map(({ lock }) => lock))) / total - 48.1)).toBeLessThan(5);
    expect(Math.abs((100 * p99.lock) / p99.total - 59.0)).toBeLessThan(5);
  });

  it('spend the measured part on mapping memory, and add as much to a start without network', () => {
    expect(Math.abs((100 * mean(made.map(({ map }) => map))) / total - (13.0 + 5.6))).toBeLessThan(5);
    expect(Math.abs(mean(made.map(({ lock, map, reset }) => lock + map + reset)) - 12.2)).toBeLessThan(2);
  });

  it('take longer with more memory, and a tenth as many hardly wait', () => {
    const grown = mean(starts(2).map((each) => each.total)) / total - 1;
    expect(Math.abs(100 * grown - 60.5)).toBeLessThan(10);
    expect(mean(starts(0.5, 20).map(({ lock }) => lock))).toBeLessThan(1);
  });

  it('do not wait for those of other hosts, or of other device sets', () => {
    const host = new HostStarts(hostCosts('amd'));
    const start = (at: number, index: number, devset: number) =>
      host.start({ host: index, at, devsets: [devset], gib: 1, pages: 'thp' }).lock;
    const alone = start(0, 0, 0);
    expect(start(0, 0, 0)).toBeGreaterThan(alone);
    expect([start(0, 1, 0), start(0, 0, 1), start(100, 0, 0)].every((lock) => Math.abs(lock - alone) < 1e-9)).toBe(
      true,
    );
    host.forget(0);
    expect(start(100, 0, 0)).toBeCloseTo(alone);
  });
});
