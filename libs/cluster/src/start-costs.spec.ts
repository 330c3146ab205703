import { HostStarts } from './host-starts.js';
import { FASTIOV, modelledLock, modelledPin, PIN_MEASUREMENTS, startsAtOnce } from './measured.js';
import { hostCosts } from './start-costs.js';

/** Within a second, and within a tenth above 10 s. */
const close = (measured: number): number => Math.max(1, measured > 10 ? measured / 10 : 0);

describe.each(PIN_MEASUREMENTS)('$processor, $pages, $threads threads, $gib GiB', (row) => {
  it('pins and starts as measured, also by many threads of the kernel', () => {
    const modelled = modelledPin(row);
    for (const column of ['pin', 'init', 'padataPin', 'padataInit'] as const)
      expect(Math.abs(modelled[column] - row[column])).toBeLessThanOrEqual(close(row[column]));
  });
});

describe('200 guests that start at once, each with a VF of one PF (FastIOV)', () => {
  const starts = (gib: number, guests: number = FASTIOV.guests) => startsAtOnce(guests, gib);
  const mean = (of: readonly number[]): number => of.reduce((sum, each) => sum + each, 0) / of.length;
  const made = starts(FASTIOV.gib);
  const total = mean(made.map((each) => each.total));

  it('spend the measured parts of their time on the lock of the device set, and on mapping memory', () => {
    const { lockMean, lockP99, mapMean } = modelledLock(FASTIOV.guests, FASTIOV.gib);
    expect(Math.abs(lockMean - FASTIOV.lockMean)).toBeLessThan(5);
    expect(Math.abs(lockP99 - FASTIOV.lockP99)).toBeLessThan(5);
    expect(Math.abs(mapMean - FASTIOV.mapMean)).toBeLessThan(5);
  });

  it('add as much to a start without network', () => {
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
