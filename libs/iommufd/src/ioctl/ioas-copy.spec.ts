import { IOMMU_DESTROY, IOMMU_IOAS_COPY, IOMMU_IOAS_UNMAP } from '@vfiolab/uapi';
import { ALONE, bench, type Bench, FIRST, FIXED_RW } from '../testing/bench.js';
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

it.each([
  ['an unknown flag', { flags: 15 }, 'EOPNOTSUPP'],
  ['the longest length', { length: U64_MAX }, 'EOVERFLOW'],
  ['the last source address', { src_iova: U64_MAX }, 'EOVERFLOW'],
  ['the last target address', { dst_iova: U64_MAX }, 'EOVERFLOW'],
  ['neither readable nor writeable', { flags: 1 }, 'EINVAL'],
  ['a source IOAS that does not exist', { src_ioas_id: 99 }, 'ENOENT'],
  ['no length', { length: 0n }, 'EINVAL'],
  ['a source range that wraps', { src_iova: U64_MAX - 4095n, length: 8192n }, 'EOVERFLOW'],
  ['a source that is not mapped', { src_iova: 0x40000n }, 'ENOENT'],
  ['a source with a hole behind it', { src_iova: 0x14000n, length: 0x8000n }, 'ENOENT'],
  ['a target IOAS that does not exist', { dst_ioas_id: 99 }, 'ENOENT'],
  ['a part of one area', { src_iova: 0x11000n, length: 4096n }, undefined],
  ['a range over two areas', { src_iova: 0x12000n, length: 0x4000n }, undefined],
] as const)('%s', async (_why, fields, errno) => {
  const { b, from, to } = await twoSpaces();
  const base = {
    src_ioas_id: from,
    dst_ioas_id: to,
    src_iova: 0x10000n,
    dst_iova: 0x100000n,
    length: 4096n,
    flags: FIXED_RW,
  };
  expect(await b.errno(IOMMU_IOAS_COPY, { ...base, ...fields })).toBe(errno);
  expect(b.host.broken()).toEqual([]);
});

it('of a read-only area as writeable is EPERM', async () => {
  const { b, to, va } = await twoSpaces();
  const readOnly = await b.ioas();
  await b.map(readOnly, 0x10000n, 4096n, va, 5);
  const copy = { src_ioas_id: readOnly, dst_ioas_id: to, src_iova: 0x10000n, dst_iova: 0x100000n, length: 4096n };
  expect(await b.errno(IOMMU_IOAS_COPY, { ...copy, flags: 7 })).toBe('EPERM');
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
