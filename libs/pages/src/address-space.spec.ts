import { MAX_DMA, pagesApi } from '@vfiolab/core';
import { Bench, errnoOf, PAGE, RW, type TestProcess, value } from './testing/harness.js';
import { END_PAGE, MAX_VMAS } from './vma-set.js';

const MIB2 = 2 << 20;
const GIB = 2 ** 30;
const FIXED = 0x10000000;
const [R, NONE] = [1, 0];

const started = (frames = 4096): TestProcess => new Bench(frames).start('vm');
const vmas = (p: TestProcess): number => p.bench.core.processes.of(p.client)!.space.vmaCount;
const free = (p: TestProcess): number => p.bench.core.frames.free.available;

describe('mmap', () => {
  it.each([
    ['length 0', { length: 0 }, 'EINVAL'],
    ['a page size that x86-64 does not have', { pageShift: 16 }, 'EINVAL'],
    ['protection bits that do not exist', { prot: 8 }, 'EINVAL'],
    ['a fixed address that is not on a page', { va: FIXED + 1 }, 'EINVAL'],
    ['a fixed hugetlb address that is not on a huge page', { va: FIXED + PAGE, pageShift: 21 }, 'EINVAL'],
    ['below vm.mmap_min_addr', { va: 0xf000 }, 'EPERM'],
    ['at vm.mmap_min_addr', { va: 0x10000 }, 0],
    ['the last page of user space', { va: (END_PAGE - 1) * PAGE, length: PAGE }, 0],
    ['one page beyond user space', { va: (END_PAGE - 1) * PAGE, length: PAGE + 1 }, 'ENOMEM'],
    ['more than user space', { length: 2 ** 47 }, 'ENOMEM'],
    ['onto another area', { va: FIXED, length: PAGE }, 'EEXIST'],
    ['reaching into another area', { va: FIXED - PAGE, length: PAGE + 1 }, 'EEXIST'],
    ['just before another area', { va: FIXED - PAGE, length: PAGE }, 0],
  ] as const)('%s: %s -> %s', (_rule, request, errno) => {
    const p = started();
    p.mmap(4 * PAGE, { va: FIXED });
    const before = p.bench.bytes('snapshot');
    const reply = p.call(pagesApi.mmap, { va: 0, length: PAGE, prot: RW, pageShift: 12, ...request });
    expect(errnoOf(reply)).toBe(errno);
    if (errno !== 0) expect(p.bench.bytes('snapshot')).toEqual(before);
  });

  it('chooses 2 MiB boundaries for plain memory and natural ones for hugetlb, without overlap', () => {
    const p = started();
    const areas = [12, 12, 21, 30, 12].map((pageShift) => ({ pageShift, va: p.mmap(3 * PAGE, { pageShift }) }));
    for (const { va, pageShift } of areas) expect(va % Math.max(2 ** pageShift, MIB2)).toBe(0);
    expect(new Set(areas.map((a) => a.va)).size).toBe(5);
    expect(vmas(p)).toBe(5);
  });

  it('chooses the same address again after munmap, as Linux does', () => {
    const p = started();
    const first = p.mmap(MIB2);
    p.mmap(MIB2);
    p.munmap(first, MIB2);
    expect(p.mmap(MIB2)).toBe(first);
  });

  it('finds the last room of user space', () => {
    const p = started();
    p.mmap(2 ** 46);
    const rest = 2 ** 45;
    const where = p.mmap(rest);
    expect(p.call(pagesApi.mmap, { va: 0, length: rest, prot: RW, pageShift: 12 })).toEqual({
      ok: false,
      errno: 'ENOMEM',
    });
    p.munmap(where, rest);
    expect(p.mmap(rest)).toBe(where);
  });

  it('refuses more than vm.max_map_count areas; a hole in one is refused at the limit', () => {
    const p = started();
    const { bench, client } = p;
    const args = { va: 0, length: 3 * PAGE, prot: RW, pageShift: 12 };
    let last = 0;
    for (let i = 0; i <= MAX_VMAS; i++) last = value(bench.quick(client, pagesApi.mmap, args));
    expect(errnoOf(p.call(pagesApi.mmap, args))).toBe('ENOMEM');
    expect(p.munmap(last + PAGE, PAGE)).toBe('ENOMEM');
    expect(errnoOf(p.call(pagesApi.mprotect, { va: last, length: PAGE, prot: R }))).toBe('ENOMEM');
    expect(p.munmap(last, 3 * PAGE)).toBe(0);
    expect(vmas(p)).toBe(MAX_VMAS);
  });

  it('joins equal neighbours, not unequal ones', () => {
    const p = started();
    p.mmap(PAGE, { va: FIXED });
    p.mmap(PAGE, { va: FIXED + 2 * PAGE });
    p.mmap(PAGE, { va: FIXED + PAGE });
    expect(vmas(p)).toBe(1);
    p.mmap(PAGE, { va: FIXED + 3 * PAGE, prot: R });
    expect(vmas(p)).toBe(2);
  });
});

describe('munmap and mprotect', () => {
  it.each([
    ['munmap', 'not on a page', FIXED + 1, PAGE, 'EINVAL'],
    ['munmap', 'length 0', FIXED, 0, 'EINVAL'],
    ['munmap', 'beyond user space', (END_PAGE - 1) * PAGE, 2 * PAGE, 'EINVAL'],
    ['munmap', 'where nothing is', FIXED - MIB2, PAGE, 0],
    ['munmap', 'with holes around', FIXED - PAGE, 2 ** 40, 0],
    ['mprotect', 'not on a page', FIXED + 1, PAGE, 'EINVAL'],
    ['mprotect', 'length 0', FIXED, 0, 0],
    ['mprotect', 'where nothing is', FIXED - PAGE, PAGE, 'ENOMEM'],
    ['mprotect', 'beyond user space', (END_PAGE - 1) * PAGE, 2 * PAGE, 'ENOMEM'],
    ['mprotect', 'a whole area', FIXED, 4 * PAGE, 0],
  ] as const)('%s: %s', (call, _rule, va, length, errno) => {
    const p = started();
    p.mmap(4 * PAGE, { va: FIXED });
    const reply =
      call === 'munmap' ? p.call(pagesApi.munmap, { va, length }) : p.call(pagesApi.mprotect, { va, length, prot: R });
    expect(errnoOf(reply)).toBe(errno);
  });

  it.each([
    ['munmap', PAGE, MIB2, 'EINVAL'],
    ['munmap', 0, MIB2 - PAGE, 'EINVAL'],
    ['munmap', MIB2, MIB2, 0],
    ['mprotect', MIB2 + PAGE, PAGE, 'EINVAL'],
    ['mprotect', MIB2, MIB2, 0],
  ] as const)('%s does not cut huge pages: offset %i, length %i', (call, offset, length, errno) => {
    const p = started();
    const va = p.mmap(3 * MIB2, { pageShift: 21 }) + offset;
    const reply =
      call === 'munmap' ? p.call(pagesApi.munmap, { va, length }) : p.call(pagesApi.mprotect, { va, length, prot: R });
    expect(errnoOf(reply)).toBe(errno);
    expect(vmas(p)).toBe(errno === 0 ? (call === 'munmap' ? 2 : 3) : 1);
  });

  it('mprotect stops at a hole with ENOMEM; what lies before it is changed, as in Linux', () => {
    const p = started();
    p.mmap(2 * PAGE, { va: FIXED });
    p.mmap(PAGE, { va: FIXED + 3 * PAGE });
    expect(errnoOf(p.call(pagesApi.mprotect, { va: FIXED + PAGE, length: 3 * PAGE, prot: R }))).toBe('ENOMEM');
    expect([p.write(FIXED, 'a'), p.write(FIXED + PAGE, 'a'), p.write(FIXED + 3 * PAGE, 'a')]).toEqual([0, 'EFAULT', 0]);
  });

  it('splits and joins areas again', () => {
    const p = started();
    p.mmap(4 * PAGE, { va: FIXED });
    p.call(pagesApi.mprotect, { va: FIXED + PAGE, length: PAGE, prot: R });
    expect(vmas(p)).toBe(3);
    p.call(pagesApi.mprotect, { va: FIXED + PAGE, length: PAGE, prot: RW });
    expect(vmas(p)).toBe(1);
  });
});

describe('memory of a process', () => {
  it.each([
    ['nothing mapped', FIXED - PAGE, NONE, 'EFAULT', 'EFAULT'],
    ['past the end of the area', FIXED + 4 * PAGE - 2, RW, 'EFAULT', 'EFAULT'],
    ['PROT_NONE', FIXED, NONE, 'EFAULT', 'EFAULT'],
    ['read-only', FIXED, R, 0, 'EFAULT'],
    ['write-only: x86 reads it too', FIXED, 2, 0, 0],
    ['read and write, over a page border', FIXED + PAGE - 2, RW, 0, 0],
  ] as const)('%s', (_rule, va, prot, reading, writing) => {
    const p = started();
    p.mmap(4 * PAGE, { va: FIXED, prot });
    expect(errnoOf(p.call(pagesApi.memRead, { va, length: 4 }))).toBe(reading);
    expect(p.write(va, 'four')).toBe(writing);
    if (writing === 0) expect(p.read(va, 4)).toBe('four');
  });

  it('costs no frame before it is written, and reads as zero until then', () => {
    const p = started(16);
    const va = p.mmap(2 ** 40);
    expect([p.read(va + 2 ** 39, 3), free(p)]).toEqual(['\0\0\0', 16]);
    p.write(va + 2 ** 39 + PAGE - 1, 'ab');
    expect([p.read(va + 2 ** 39 + PAGE - 2, 4), free(p)]).toEqual(['\0ab\0', 14]);
  });

  it('a touch of a huge page takes all of it, aligned', () => {
    const p = started(2048);
    p.write(p.mmap(PAGE), 'x');
    p.write(p.mmap(MIB2, { pageShift: 21 }) + 5 * PAGE, 'y');
    expect(free(p)).toBe(2048 - 1 - 512);
    expect([...p.bench.core.frames.free.runs()]).toEqual([
      { frame: 1, count: 511 },
      { frame: 1024, count: 1024 },
    ]);
  });

  it('a write that finds no memory writes nothing and takes nothing', () => {
    const p = started(2);
    const va = p.mmap(8 * PAGE);
    expect(p.write(va, 'x'.repeat(2 * PAGE + 1))).toBe('ENOMEM');
    expect([p.read(va, 1), free(p)]).toEqual(['\0', 2]);
    expect(p.write(va, 'x'.repeat(2 * PAGE))).toBe(0);
  });

  it('a write that finds memory for its first hole only gives that back', () => {
    const p = started(2);
    const va = p.mmap(3 * PAGE);
    p.write(va + PAGE, 'middle');
    expect([p.write(va, 'x'.repeat(3 * PAGE)), free(p), p.read(va + PAGE, 6)]).toEqual(['ENOMEM', 1, 'middle']);
  });

  it('a hugetlb write that finds no whole huge page is ENOMEM', () => {
    const p = started(1023);
    const va = p.mmap(2 * MIB2, { pageShift: 21 });
    expect([p.write(va, 'x'), p.write(va + MIB2, 'x'), free(p)]).toEqual([0, 'ENOMEM', 511]);
  });

  it('comes back zeroed', () => {
    const p = started(1);
    const va = p.mmap(PAGE);
    p.write(va, 'secret');
    p.munmap(va, PAGE);
    const again = p.mmap(PAGE);
    p.write(again + 100, 'x');
    expect(p.read(again, 6)).toBe('\0'.repeat(6));
  });

  it('takes at most MAX_DMA bytes in one message', () => {
    const p = started();
    const va = p.mmap(GIB);
    expect(errnoOf(p.call(pagesApi.memRead, { va, length: MAX_DMA }))).toBe(0);
    expect(errnoOf(p.call(pagesApi.memRead, { va, length: MAX_DMA + 1 }))).toBe('EINVAL');
    expect(p.write(va, 'x'.repeat(MAX_DMA))).toBe(0);
    expect(p.write(va, 'x'.repeat(MAX_DMA + 1))).toBe('EINVAL');
  });
});
