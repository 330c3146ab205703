import { encodeFrame, IOMMU, iommuApi, IOMMUFD, PAGES, pagesApi, REPLY, REQUEST, type Method } from '@vfiolab/core';
import { ok } from '@vfiolab/uapi';
import { DEFAULT_COSTS } from './costs.js';
import { leavesOf, Work } from './work.js';

const [MIB2, GIB] = [2 ** 9, 2 ** 18];

test.each([
  ['one page', 1, [5], 1],
  ['2 MiB where both begin on 2 MiB', MIB2, [MIB2, 3 * MIB2], 1],
  ['2 MiB where one does not', MIB2, [MIB2, 3 * MIB2 + 1], MIB2],
  ['2 MiB from the middle on', MIB2, [MIB2 / 2, MIB2 / 2], MIB2],
  ['4 MiB from the middle on: a leaf of 2 MiB inside', 2 * MIB2, [MIB2 / 2, MIB2 / 2], MIB2 + 1],
  ['1 GiB and a page', GIB + 1, [0, GIB], 2],
  ['1 GiB of memory that begins on 2 MiB', GIB, [0, MIB2], 512],
  ['1 TiB in one look', 1024 * GIB, [GIB, 0], 1024],
  ['1 TiB without any alignment', 1024 * GIB, [0, 1], 1024 * GIB],
  ['an IOVA alone', 3 * MIB2, [MIB2 - 2], 2 + 2 + 510],
])('%s', (_title, count, starts, leaves) => expect(leavesOf(count, ...starts)).toBe(leaves));

const about = (kind: number, method: number, id: number) => ({
  ...{ kind, method, id, flags: 0, epoch: 0, floor: 0, clock: 0, seen: 0, deadline: 0 },
});

function bench() {
  let now = 0;
  const work = new Work({ ...DEFAULT_COSTS, pinPage: 1e6, pinRun: 0, flush: 3e6, mapLeaf: 0, unmapLeaf: 0 }, () => now);
  return {
    work,
    at: (ms: number) => (now = ms),
    ask: <A>(to: string, method: Method<A, any>, args: A, id = 1) =>
      work.arrives(IOMMUFD, to, encodeFrame(about(REQUEST, method.id, id), method.args, args)),
    answer: <R>(from: string, method: Method<any, R>, reply: R, id = 1, status = 0) =>
      work.leaves(from, IOMMUFD, encodeFrame(about(REPLY, status, id), method.reply, reply)),
  };
}

const UNMAP = { domains: [1, 2], spans: [{ iova: 16, count: 4 }] };

test('work is done once: what is repeated comes no later than the first answer', () => {
  const b = bench();
  b.ask(IOMMU, iommuApi.unmap, UNMAP);
  expect(b.answer(IOMMU, iommuApi.unmap, undefined)).toBe(6);
  b.at(2);
  b.ask(IOMMU, iommuApi.unmap, UNMAP);
  expect(b.answer(IOMMU, iommuApi.unmap, undefined)).toBe(4);
  b.at(7);
  expect(b.answer(IOMMU, iommuApi.unmap, undefined)).toBe(0);
  expect(b.work.figures).toMatchObject({ flushes: 2, ns: 6e6 });
});

test('a request that is not taken costs nothing, and neither does one that is refused', () => {
  const b = bench();
  b.ask(IOMMU, iommuApi.unmap, UNMAP);
  expect(b.answer(IOMMU, iommuApi.unmap, undefined, 1, 2)).toBe(0);
  b.ask(IOMMU, iommuApi.attach, { bdfs: ['x'], domain: 1, faults: undefined }, 2);
  expect(b.answer(IOMMU, iommuApi.attach, { ok: false, errno: 'EINVAL' } as never, 2)).toBe(0);
  expect(b.work.figures.ns).toBe(0);
});

test('requests of the same number to others are others', () => {
  const b = bench();
  b.ask(PAGES, pagesApi.pin, { store: 1, first: 0, count: 3 });
  b.ask(IOMMU, iommuApi.unmap, UNMAP);
  const runs = [{ frame: 7, count: 3 }];
  expect(b.answer(PAGES, pagesApi.pin, ok({ runs, next: 3 }))).toBe(3);
  expect(b.answer(IOMMU, iommuApi.unmap, undefined)).toBe(6);
});

test('what is remembered of answers does not grow', () => {
  const b = bench();
  for (let id = 1; id < 10_000; id++) {
    b.at(id * 10);
    b.ask(IOMMU, iommuApi.unmap, UNMAP, id);
    b.answer(IOMMU, iommuApi.unmap, undefined, id);
  }
  expect((b.work as unknown as { doneAt: Map<string, number> }).doneAt.size).toBeLessThan(5000);
});
