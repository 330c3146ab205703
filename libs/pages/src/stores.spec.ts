import { IOMMUFD, MAX_RUNS, pagesApi, type Pinned, RLIMIT_MM } from '@vfiolab/core';
import { MAX_STORES } from './stores.js';
import { Bench, errnoOf, framesOf, PAGE, ROOT, RW, type TestProcess, value } from './testing/harness.js';

const MIB2 = 2 << 20;
const R = 1;
const pinnedSlots = (bench: Bench, store: number): number =>
  [...bench.core.stores.all()].find((s) => s.id === store)!.pinned;

describe('a store without a pin', () => {
  it.each([
    ['a bad address', 0x1000n, 4096n, 1],
    ['all of user space (a052)', 0n, 0x7ffffffff000n, 0x7ffffffff],
    ['2^63 bytes (a052)', 0n, 1n << 63n, 2 ** 51],
    ['2^64 - 2 bytes', 1n, (1n << 64n) - 2n, 2 ** 52],
    ['2^64 - 1 bytes from the last byte on', (1n << 64n) - 1n, (1n << 64n) - 1n, 2 ** 52 + 1],
  ])('%s touches nothing (B2.5)', (_what, va, length, slots) => {
    const bench = new Bench(4);
    const made = value(bench.start('vm').store(va, length, { pin: false }));
    expect(made.pinned).toEqual({ runs: [], next: 0 });
    expect([...bench.core.stores.all()][0]!.slots).toBe(slots);
    expect(bench.core.frames.free.available).toBe(4);
    expect(errnoOf(bench.pin(made.store, 0, slots))).toBe('EFAULT');
    bench.restart();
    bench.unpin(made.store, [], true);
  });
});

describe('a refused pin leaves nothing', () => {
  const cases: [string, (p: TestProcess) => [number, number, boolean], string | 0][] = [
    ['no VMA', () => [0x10000000, PAGE, true], 'EFAULT'],
    ['past the end of the VMA (a044)', (p) => [p.mmap(PAGE), 2 * PAGE, true], 'EFAULT'],
    ['write intent on a read-only VMA (a013)', (p) => [p.mmap(PAGE, { prot: R }), PAGE, true], 'EFAULT'],
    ['a read-only store of a read-only VMA (a013)', (p) => [p.mmap(PAGE, { prot: R }), PAGE, false], 0],
    ['PROT_NONE (a013)', (p) => [p.mmap(PAGE, { prot: 0 }), PAGE, false], 'EFAULT'],
    ['reading a write-only VMA', (p) => [p.mmap(PAGE, { prot: 2 }), PAGE, false], 'EFAULT'],
    ['more than the limit', (p) => [p.mmap(9 * PAGE), 9 * PAGE, true], 'ENOMEM'],
    ['exactly the limit', (p) => [p.mmap(8 * PAGE), 8 * PAGE, true], 0],
    ['more than the limit and past the VMA: EFAULT wins', (p) => [p.mmap(9 * PAGE), 10 * PAGE, true], 'EFAULT'],
  ];
  it.each(cases)('%s', (_rule, request, errno) => {
    const bench = new Bench(16);
    const p = bench.start('vm', { uid: 7, caps: 0, memlock: 8 * PAGE });
    const [va, length, writable] = request(p);
    const before = bench.bytes('snapshot');
    expect(errnoOf(p.store(va, length, { writable }))).toBe(errno);
    if (errno !== 0) expect(bench.bytes('snapshot')).toEqual(before);
  });

  it('out of memory', () => {
    const bench = new Bench(16);
    const p = bench.start('vm');
    const [small, big] = [p.mmap(4 * PAGE), p.mmap(20 * PAGE)];
    const id = value(p.store(small, 4 * PAGE)).store;
    const before = bench.bytes('snapshot');
    expect(errnoOf(p.store(big, 13 * PAGE))).toBe('ENOMEM');
    expect(bench.bytes('snapshot')).toEqual(before);
    expect(errnoOf(p.store(big, 12 * PAGE))).toBe(0);
    expect(pinnedSlots(bench, id)).toBe(4);
  });

  it('in a part of a pinned store: the covers stay as they were', () => {
    const bench = new Bench(64);
    const p = bench.start('vm');
    const va = p.mmap(8 * PAGE);
    p.munmap(va + 4 * PAGE, PAGE);
    const { store } = value(p.store(va, 8 * PAGE, { pin: false }));
    value(bench.pin(store, 0, 4));
    const before = bench.bytes('snapshot');
    expect(errnoOf(bench.pin(store, 0, 8))).toBe('EFAULT');
    expect(bench.bytes('snapshot')).toEqual(before);
  });
});

describe('covers', () => {
  it('five covers pin once and charge once (feature 26)', () => {
    const bench = new Bench(64);
    const p = bench.start('vm', { uid: 7, caps: 0, memlock: 4 * PAGE });
    const { store, pinned } = value(p.store(p.mmap(4 * PAGE), 4 * PAGE, { rlimitMode: RLIMIT_MM }));
    for (let i = 0; i < 4; i++) expect(value(bench.pin(store, 0, 4))).toEqual(pinned);
    const [frame] = framesOf(pinned.runs);
    const seen = [];
    for (let i = 0; i < 5; i++) {
      seen.push([bench.core.frames.pins.at(frame!), ...p.locks()]);
      bench.unpin(store, [{ first: 0, count: 4 }]);
    }
    expect(seen).toEqual(new Array(5).fill([1, 16, 16]));
    expect([bench.core.frames.pins.at(frame!), ...p.locks()]).toEqual([0, 0, 0]);
  });

  it('parts of a store are covered and uncovered slot by slot', () => {
    const bench = new Bench(64);
    const p = bench.start('vm');
    const { store } = value(p.store(p.mmap(10 * PAGE), 10 * PAGE, { pin: false }));
    value(bench.pin(store, 2, 4));
    value(bench.pin(store, 4, 4));
    expect(pinnedSlots(bench, store)).toBe(6);
    bench.unpin(store, [{ first: 2, count: 4 }]);
    expect(pinnedSlots(bench, store)).toBe(4);
    bench.unpin(
      store,
      [
        { first: 4, count: 2 },
        { first: 6, count: 2 },
      ],
      true,
    );
    expect([p.locks(), [...bench.core.stores.all()]]).toEqual([[0, 0], []]);
  });

  it('contiguous touches are one run', () => {
    const p = new Bench(1024).start('vm');
    expect(value(p.store(p.mmap(MIB2), MIB2)).pinned).toEqual({ runs: [{ frame: 0, count: 512 }], next: 512 });
  });

  it('1 TiB of 1 GiB pages is one run', () => {
    const bench = new Bench(2 ** 28);
    const p = bench.start('vm');
    const { store, pinned } = value(p.store(p.mmap(2 ** 40, { pageShift: 30 }), 2 ** 40));
    expect(pinned).toEqual({ runs: [{ frame: 0, count: 2 ** 28 }], next: 2 ** 28 });
    expect(p.locks()).toEqual([0, 2 ** 30]);
    expect(bench.bytes('snapshot').length).toBeLessThan(1000);
    bench.unpin(store, [{ first: 0, count: 2 ** 28 }], true);
  });

  it.each([
    ['a part of a huge page is counted in 4 KiB slots (a043)', PAGE, MIB2 - PAGE, 511],
    ['two huge pages (a043)', 0, 2 * MIB2, 1024],
  ])('%s', (_rule, offset, length, slots) => {
    const p = new Bench(2048).start('vm');
    const { pinned } = value(p.store(p.mmap(2 * MIB2, { pageShift: 21 }) + offset, length));
    expect(pinned).toEqual({ runs: [{ frame: offset / PAGE, count: slots }], next: slots });
    expect(p.locks()).toEqual([0, slots * 4]);
  });

  it.each([
    ['a cover that is not there', [{ first: 3, count: 1 }], 'cannot take 1 away'],
    ['slots that are not there', [{ first: 3, count: 2 }], 'not in store'],
    ['pinned slots at its release', [{ first: 0, count: 1 }], 'released with 1 pinned slots'],
  ])("a caller's mistake stops the service: %s", (_what, ranges, message) => {
    const bench = new Bench(16);
    const p = bench.start('vm');
    const { store } = value(p.store(p.mmap(4 * PAGE), 4 * PAGE, { pin: false }));
    value(bench.pin(store, 0, 2));
    expect(() => bench.unpin(store, ranges, true)).toThrow(message);
  });

  it.each(['pin', 'unpin'] as const)(
    "a caller's mistake stops the service: %s of a store that does not exist",
    (call) => {
      const bench = new Bench(16);
      const run = () => (call === 'pin' ? bench.pin(7, 0, 1) : bench.unpin(7, []));
      expect(run).toThrow('store 7 does not exist');
    },
  );
});

describe('an answer carries at most MAX_RUNS runs', () => {
  const COUNT = MAX_RUNS + 1;

  /** Every second page is given away again, so that no two frames of the rest are neighbours. */
  function scattered(): { bench: Bench; p: TestProcess; va: number } {
    const bench = new Bench(COUNT * 2 + 8);
    const p = bench.start('vm');
    const [odd, even] = [p.mmap(COUNT * PAGE), p.mmap(COUNT * PAGE)];
    const touch = (va: number) => bench.quick(p.client, pagesApi.memWrite, { va, data: new Uint8Array([1]) });
    for (let i = 0; i < COUNT; i++) for (const area of [odd, even]) touch(area + i * PAGE);
    return { bench, p, va: even };
  }

  it('tells how far it came; the rest is asked for again', () => {
    const { bench, p, va } = scattered();
    const { store, pinned } = value(p.store(va, COUNT * PAGE));
    expect([pinned.runs.length, pinned.next, p.locks()[1]]).toEqual([MAX_RUNS, MAX_RUNS, MAX_RUNS * 4]);
    const rest: Pinned = value(bench.pin(store, pinned.next, COUNT - pinned.next));
    expect([rest.runs.length, rest.next, p.locks()[1]]).toEqual([1, COUNT, COUNT * 4]);
    bench.unpin(store, [{ first: 0, count: COUNT }], true);
    expect(p.locks()[1]).toBe(0);
  });
});

describe('bounds', () => {
  it('one store too many is ENOMEM', () => {
    const bench = new Bench(1);
    const p = bench.start('vm', ROOT);
    const args = { client: p.client, va: 0n, length: 1n, writable: false, rlimitMode: 0, pin: false };
    const core = bench.core;
    const handle = core.methods.get(pagesApi.storeCreate.id)!.handle;
    const req = { from: IOMMUFD, now: 0, entropy: new Uint8Array(0) };
    for (let i = 0; i < MAX_STORES; i++) handle(req, args);
    expect(errnoOf(p.store(0, 1, { pin: false }))).toBe('ENOMEM');
  });

  it('an unknown accounting mode is EINVAL', () => {
    const p = new Bench(1).start('vm');
    expect(errnoOf(p.store(p.mmap(PAGE, { prot: RW }), PAGE, { rlimitMode: 2 }))).toBe('EINVAL');
  });
});
