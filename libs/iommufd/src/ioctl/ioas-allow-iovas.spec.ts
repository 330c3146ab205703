import { IOMMU_IOAS_ALLOW_IOVAS } from '@vfiolab/uapi';
import { U64_MAX } from '../spans.js';
import { ALONE, bench, type Bench } from '../testing/bench.js';
import { bytesOf, type Range } from '../testing/ranges.js';
import { refusal, refused } from '../testing/refusal.js';
import { MAX_ALLOWED } from './ioas-allow-iovas.js';

const PAGE: Range = [0n, 0xfffn];

const listOf = (ioas_id: number, ranges: readonly Range[]) => ({
  ioas_id,
  num_iovas: ranges.length,
  allowed_iovas: bytesOf(ranges),
});
const allow = (b: Bench, ioas_id: number, ...ranges: Range[]) =>
  b.errno(IOMMU_IOAS_ALLOW_IOVAS, listOf(ioas_id, ranges));

it.each<[string, Range[]]>([
  ['one byte', [[5n, 5n]]],
  ['backwards', [[9n, 5n]]],
  ['overlapping', [PAGE, [0x800n, 0x1fffn]]],
  ['the same range twice', [PAGE, PAGE]],
  ['two that meet in one byte, behind a good one', [[0x8000n, 0x8fffn], PAGE, [0xfffn, 0x1fffn]]],
])('a list that makes no sense is EINVAL: %s', async (_why, ranges) => {
  const b = await bench();
  const ioas = await b.ioas();
  await allow(b, ioas, PAGE);
  expect(await refusal(b, IOMMU_IOAS_ALLOW_IOVAS, listOf(ioas, ranges))).toEqual(refused('EINVAL'));
});

it.each<[string, Range[]]>([
  ['any order', [[0x8000n, 0x8fffn], PAGE]],
  ['everything', [[0n, U64_MAX]]],
  ['ranges that touch', [PAGE, [0x1000n, 0x1fffn]]],
  ['an empty list', []],
])('%s', async (_why, ranges) => {
  const b = await bench();
  expect(await allow(b, await b.ioas(), ...ranges)).toBeUndefined();
});

it.each([
  ['a reserved field, before the IOAS', { __reserved: 1, ioas_id: 99 }, 'EOPNOTSUPP'],
  ['an IOAS that does not exist, before the list', { ioas_id: 99, num_iovas: 1, allowed_iovas: 0x10n }, 'ENOENT'],
  ['an array that cannot be read', { num_iovas: 1, allowed_iovas: 0x10n }, 'EFAULT'],
  ['an array that ends too early', { num_iovas: 2, allowed_iovas: bytesOf([PAGE]) }, 'EFAULT'],
  ['a bad range before the array ends', { num_iovas: 3, allowed_iovas: bytesOf([PAGE, PAGE]) }, 'EINVAL'],
] as const)('%s', async (_why, fields, errno) => {
  const b = await bench();
  expect(await refusal(b, IOMMU_IOAS_ALLOW_IOVAS, { ioas_id: await b.ioas(), ...fields })).toEqual(refused(errno));
});

it('more ranges than the lab keeps are ENOMEM', async () => {
  const b = await bench();
  const ioas_id = await b.ioas();
  const one = (i: number): Range => [BigInt(i) << 12n, (BigInt(i) << 12n) + 1n];
  const ranges = Array.from({ length: MAX_ALLOWED + 1 }, (_, i) => one(MAX_ALLOWED - i));
  expect(await refusal(b, IOMMU_IOAS_ALLOW_IOVAS, listOf(ioas_id, ranges))).toEqual(refused('ENOMEM'));
  expect(await b.errno(IOMMU_IOAS_ALLOW_IOVAS, listOf(ioas_id, ranges.slice(1)))).toBeUndefined();
});

it('a list over a reserved range is refused and the old one stays; a device whose window hits it cannot attach (feature 38)', async () => {
  const b = await bench();
  const ioas = await b.ioas();
  const { dev } = await b.bind(ALONE);
  expect(await allow(b, ioas, [0xfee00000n, 0xfeefffffn])).toBeUndefined();
  expect((await b.attach(dev, ioas)).errno).toBe('EADDRINUSE');
  expect(await allow(b, ioas)).toBeUndefined();
  expect((await b.attach(dev, ioas)).errno).toBeUndefined();
  expect(await allow(b, ioas, [0xfee00000n, 0xfee00fffn])).toBe('EADDRINUSE');
});
