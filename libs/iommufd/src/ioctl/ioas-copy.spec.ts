import {
  IOMMU_DESTROY,
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_UNMAP,
  iommu_test_add_reserved,
  iommu_test_create_access,
  IOMMU_TEST_OP_ADD_RESERVED,
  IOMMU_TEST_OP_CREATE_ACCESS,
} from '@vfiolab/uapi';
import { PAGES, pagesApi } from '@vfiolab/core';
import { ALONE, bench, type Bench, FIRST, FIXED_RW } from '../testing/bench.js';
import { APERTURE, MockBench } from '../testing/mock-bench.js';
import { readOnly, refusal, refused } from '../testing/refusal.js';
import { U64_MAX } from '../spans.js';

async function twoSpaces(): Promise<{ b: Bench; from: number; to: number; va: bigint }> {
  const b = await bench();
  const from = await b.ioas();
  const to = await b.ioas();
  const va = await b.memory(65536);
  await b.map(from, 0x10000n, 16384n, va);
  await b.map(from, 0x14000n, 16384n, va + 32768n);
  return { b, from, to, va };
}

const copyOf = (from: number, to: number) => ({
  src_ioas_id: from,
  dst_ioas_id: to,
  src_iova: 0x10000n,
  dst_iova: 0x100000n,
  length: 4096n,
  flags: FIXED_RW,
});

// In the kernel's order of checks: each line breaks one rule and, where it can, a later one too.
it.each([
  ['an unknown flag', { flags: 15, length: U64_MAX }, 'EOPNOTSUPP'],
  ['the longest length', { length: U64_MAX, flags: 0 }, 'EOVERFLOW'],
  ['the last source address', { src_iova: U64_MAX, flags: 0 }, 'EOVERFLOW'],
  ['the last target address', { dst_iova: U64_MAX, flags: 0 }, 'EOVERFLOW'],
  ['neither readable nor writeable', { flags: 1, src_ioas_id: 99 }, 'EINVAL'],
  ['a source IOAS that does not exist', { src_ioas_id: 99, length: 0n }, 'ENOENT'],
  ['no length', { length: 0n, dst_ioas_id: 99 }, 'EINVAL'],
  ['a source range that wraps', { src_iova: U64_MAX - 4095n, length: 8192n, dst_ioas_id: 99 }, 'EOVERFLOW'],
  ['a source that is not mapped', { src_iova: 0x40000n, dst_ioas_id: 99 }, 'ENOENT'],
  ['a source that begins before its area', { src_iova: 0xf000n, length: 8192n }, 'ENOENT'],
  ['a source with a hole behind it', { src_iova: 0x14000n, length: 0x8000n }, 'ENOENT'],
  ['a target IOAS that does not exist', { dst_ioas_id: 99 }, 'ENOENT'],
  ['a target range that wraps', { dst_iova: U64_MAX - 4095n, length: 8192n }, 'EOVERFLOW'],
  ['a target over an area', { dst_ioas_id: 'source', dst_iova: 0x13000n }, 'EEXIST'],
] as const)('%s', async (_why, fields, errno) => {
  const { b, from, to } = await twoSpaces();
  const dst_ioas_id = 'dst_ioas_id' in fields ? (fields.dst_ioas_id === 'source' ? from : fields.dst_ioas_id) : to;
  expect(await refusal(b, IOMMU_IOAS_COPY, { ...copyOf(from, to), ...fields, dst_ioas_id })).toEqual(refused(errno));
});

it.each([
  ['a part of one area', { src_iova: 0x11000n, length: 4096n }],
  ['a range over two areas', { src_iova: 0x12000n, length: 0x4000n }],
] as const)('%s', async (_why, fields) => {
  const { b, from, to } = await twoSpaces();
  expect(await b.errno(IOMMU_IOAS_COPY, { ...copyOf(from, to), ...fields })).toBeUndefined();
  expect(b.host.broken()).toEqual([]);
});

/** Two spaces of which the target has a page of alignment, and a reserved range at 0x200000. */
async function strictTarget() {
  const b = await MockBench.boot();
  const [from, to] = [await b.ioas(), await b.ioas()];
  const va = await b.memory(65536);
  await b.map(from, 0x10000n, 16384n, va);
  await b.map(from, 0x20000n, 4096n, va + 512n);
  await b.op(IOMMU_TEST_OP_CREATE_ACCESS, iommu_test_create_access, to, { flags: 1 });
  await b.op(IOMMU_TEST_OP_ADD_RESERVED, iommu_test_add_reserved, to, { start: 0x200000n, length: 4096n });
  return { b, from, to };
}

it.each([
  ['a length that is not a multiple of the alignment, before the place', { length: 512n, dst_iova: 0x200000n }],
  ['a place that is not on the alignment', { dst_iova: 0x100800n }],
  ['a place in a reserved range', { dst_iova: 0x200000n }],
  ['pages at an offset that is not on the alignment', { src_iova: 0x20000n }],
  ['an automatic place for pages at such an offset', { src_iova: 0x20000n, flags: 6 }],
] as const)('%s is EINVAL', async (_why, fields) => {
  const { b, from, to } = await strictTarget();
  expect(await refusal(b, IOMMU_IOAS_COPY, { ...copyOf(from, to), ...fields })).toEqual(refused('EINVAL'));
});

it('an automatic place where everything is reserved is ENOSPC', async () => {
  const { b, from, to } = await strictTarget();
  for (const [start, last] of [
    [0n, 0x1fffffn],
    [0x201000n, U64_MAX],
  ] as const)
    await b.op(IOMMU_TEST_OP_ADD_RESERVED, iommu_test_add_reserved, to, { start, length: last - start + 1n });
  expect(await refusal(b, IOMMU_IOAS_COPY, { ...copyOf(from, to), flags: 6 })).toEqual(refused('ENOSPC'));
});

it.each(['ENOMEM', 'EFAULT'] as const)('pages that cannot be pinned for a domain are %s', async (errno) => {
  const b = await MockBench.boot();
  const [from, to] = [await b.ioas(), await b.ioas()];
  await b.map(from, 0x10000n, 16384n, await b.memory(16384));
  await b.mock(to);
  const met = b.host.refuse(PAGES, pagesApi.pin, { ok: false, errno });
  const copy = { ...copyOf(from, to), dst_iova: APERTURE };
  expect(await refusal(b, IOMMU_IOAS_COPY, copy)).toEqual(refused(errno));
  expect(met()).toBe(true);
  expect(await b.afterExit()).toEqual([]);
});

it('a struct that cannot be written is EFAULT; the copy stays, as in the kernel', async () => {
  const { b, from, to } = await twoSpaces();
  expect((await readOnly(b, IOMMU_IOAS_COPY, copyOf(from, to))).errno).toBe('EFAULT');
  expect(await b.errno(IOMMU_IOAS_COPY, copyOf(from, to))).toBe('EEXIST');
});

it('of a read-only area as writeable is EPERM', async () => {
  const { b, to, va } = await twoSpaces();
  const readOnly = await b.ioas();
  await b.map(readOnly, 0x10000n, 4096n, va, 5);
  const copy = { src_ioas_id: readOnly, dst_ioas_id: to, src_iova: 0x10000n, dst_iova: 0x100000n, length: 4096n };
  expect(await refusal(b, IOMMU_IOAS_COPY, { ...copy, flags: 7 })).toEqual(refused('EPERM'));
  expect(await b.errno(IOMMU_IOAS_COPY, { ...copy, flags: 5 })).toBeUndefined();
});

it('shares one pin among all domains, and lives on when the source is unmapped (a016, a017; feature 26)', async () => {
  const { b, from, to } = await twoSpaces();
  const [one, two] = [await b.bind(FIRST), await b.bind(ALONE)];
  await b.attach(one.dev, from);
  await b.attach(two.dev, to);
  expect(await b.pinnedKb()).toBe(32);
  const copy = {
    src_ioas_id: from,
    dst_ioas_id: to,
    src_iova: 0x10000n,
    dst_iova: 0x100000n,
    length: 0x8000n,
    flags: 7,
  };
  expect(await b.errno(IOMMU_IOAS_COPY, copy)).toBeUndefined();
  expect(await b.pinnedKb()).toBe(32);
  expect(b.host.figures('iommu').mappedPages).toBe(16);
  await b.ioctl(IOMMU_IOAS_UNMAP, { ioas_id: from, iova: 0n, length: U64_MAX });
  expect(await b.pinnedKb()).toBe(32);
  expect(b.host.broken()).toEqual([]);
  await b.ioctl(IOMMU_IOAS_UNMAP, { ioas_id: to, iova: 0n, length: U64_MAX });
  expect(await b.pinnedKb()).toBe(0);
});

it('onto itself and after the source IOAS is gone', async () => {
  const { b, from, to } = await twoSpaces();
  const copy = { src_ioas_id: from, src_iova: 0x10000n, dst_iova: 0x100000n, length: 4096n, flags: 7 };
  expect(await b.errno(IOMMU_IOAS_COPY, { ...copy, dst_ioas_id: from })).toBeUndefined();
  expect(await b.errno(IOMMU_IOAS_COPY, { ...copy, dst_ioas_id: to })).toBeUndefined();
  expect(await b.errno(IOMMU_DESTROY, { id: from })).toBeUndefined();
  const { dev } = await b.bind(ALONE);
  expect((await b.attach(dev, to)).errno).toBeUndefined();
  expect(await b.pinnedKb()).toBe(4);
});
