import { IOMMUFD, pagesApi } from '@vfiolab/core';
import { Bench, errnoOf, PAGE, type TestProcess, value } from './testing/harness.js';

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** A store of four pages over fresh memory; `pinned`: its slots are held. */
function setup({ writable = true, pinned = false, prot = 3 } = {}) {
  const bench = new Bench(64);
  const owner = bench.start('owner');
  const other = bench.start('other');
  const va = owner.mmap(4 * PAGE, { prot });
  const { store } = value(owner.store(va, 4 * PAGE, { writable, pin: pinned }));
  const read = (by: TestProcess, at: number, length: number, slow = false) =>
    bench.call(IOMMUFD, pagesApi.storeRead, { store, at: BigInt(at), length, client: by.client, slow });
  const write = (by: TestProcess, at: number, data: string, slow = false) =>
    bench.call(IOMMUFD, pagesApi.storeWrite, {
      store,
      at: BigInt(at),
      data: new TextEncoder().encode(data),
      client: by.client,
      slow,
    });
  return { bench, owner, other, va, store, read, write };
}

test.each([
  ['the owner, through his address space', 'owner', false],
  ['the owner, through the pages', 'owner', true],
  ['another process', 'other', false],
] as const)('bytes go both ways over a page boundary: %s', (_who, who, slow) => {
  const s = setup();
  expect(errnoOf(s.write(s[who], PAGE - 2, 'abcd', slow))).toBe(0);
  expect(s.owner.read(s.va + PAGE - 2, 4)).toBe('abcd');
  expect(text(value(s.read(s[who], PAGE - 2, 4, slow)))).toBe('abcd');
});

test('the owner sees what is mapped now, the pages are those that are held (B7.4)', () => {
  const s = setup({ pinned: true });
  s.owner.write(s.va, 'held');
  s.owner.munmap(s.va, 4 * PAGE);
  s.owner.mmap(4 * PAGE, { va: s.va });
  s.owner.write(s.va, 'new!');
  s.owner.write(s.va + PAGE, 'new!');
  expect(text(value(s.read(s.owner, 0, 4)))).toBe('new!');
  expect(text(value(s.read(s.owner, 0, PAGE + 4, true)).subarray(0, 4))).toBe('held');
});

test.each([
  ['no memory there any more', false],
  ['no memory there any more, through the pages', true],
])('EFAULT: %s', (_why, slow) => {
  const s = setup();
  s.owner.munmap(s.va, 4 * PAGE);
  expect(errnoOf(s.read(s.owner, 0, 4, slow))).toBe('EFAULT');
  expect(errnoOf(s.write(s.owner, 0, 'abcd', slow))).toBe('EFAULT');
});

test('EFAULT: memory that cannot be written, and nothing of the write stays', () => {
  const s = setup({ writable: false, prot: 1 });
  expect(errnoOf(s.write(s.other, 0, 'abcd'))).toBe('EFAULT');
  expect(s.owner.read(s.va, 4)).toBe('\0\0\0\0');
});

describe('pages as a reading CPU finds them', () => {
  const frames = ({ bench, owner, va }: ReturnType<typeof setup>, count: number, skip = 0) =>
    bench
      .call(IOMMUFD, pagesApi.pageFrames, { client: owner.client, page: va / PAGE + skip, count })
      .reduce((sum, run) => sum + run.count, 0);

  test('are brought in, and end at the first that cannot be read', () => {
    const s = setup();
    expect(frames(s, 4)).toBe(4);
    s.owner.munmap(s.va + 2 * PAGE, PAGE);
    expect([frames(s, 4), frames(s, 2, 2), frames(s, 1, 3)]).toEqual([2, 0, 1]);
  });

  test('tell how often they are pinned, and whether they are huge', () => {
    const s = setup({ pinned: true });
    const second = value(s.owner.store(s.va + PAGE, PAGE));
    const pins = (page: number, count: number) =>
      s.bench.call(IOMMUFD, pagesApi.pagePins, { client: s.owner.client, page, count });
    const plain = { huge: false };
    expect(pins(s.va / PAGE, 3)).toEqual([
      { pins: 1, count: 1, ...plain },
      { pins: 2, count: 1, ...plain },
      { pins: 1, count: 1, ...plain },
    ]);
    s.bench.unpin(second.store, [{ first: 0, count: 1 }], true);
    expect(pins(s.va / PAGE + 1, 1)).toEqual([{ pins: 1, count: 1, ...plain }]);
    const big = new Bench(1024);
    const huge = big.start('huge');
    const at = huge.mmap(2 << 20, { pageShift: 21 });
    const found = big.call(IOMMUFD, pagesApi.pagePins, { client: huge.client, page: at / PAGE, count: 1 });
    expect(found).toEqual([{ pins: 0, count: 1, huge: true }]);
  });
});
