import { IOMMU_IOAS_ALLOW_IOVAS, IOMMU_IOAS_IOVA_RANGES } from '@vfiolab/uapi';
import { ALONE, bench, type Bench } from '../testing/bench.js';
import { U64_MAX } from '../spans.js';

type Range = readonly [bigint, bigint];
const bytes = (...ranges: Range[]): Uint8Array => {
  const out = new Uint8Array(16 * ranges.length);
  ranges.forEach(([start, last], i) => {
    const view = new DataView(out.buffer, 16 * i);
    view.setBigUint64(0, start, true);
    view.setBigUint64(8, last, true);
  });
  return out;
};
const rangesIn = (b: Uint8Array): Range[] =>
  Array.from({ length: b.length / 16 }, (_, i) => {
    const view = new DataView(b.buffer, b.byteOffset + 16 * i);
    return [view.getBigUint64(0, true), view.getBigUint64(8, true)] as const;
  });
const allow = async (b: Bench, ioas_id: number, ...ranges: Range[]) =>
  b.errno(IOMMU_IOAS_ALLOW_IOVAS, { ioas_id, num_iovas: ranges.length, allowed_iovas: bytes(...ranges) });

describe('IOVA_RANGES', () => {
  it('of a fresh IOAS is everything, with alignment 1', async () => {
    const b = await bench();
    const room = bytes([1n, 1n]);
    const a = await b.ioctl(IOMMU_IOAS_IOVA_RANGES, { ioas_id: await b.ioas(), num_iovas: 1, allowed_iovas: room });
    expect(a).toMatchObject({ ret: 0, out: { num_iovas: 1, out_iova_alignment: 1n } });
    expect(rangesIn(room)).toEqual([[0n, U64_MAX]]);
  });

  it('with too little room is EMSGSIZE, and still says the count, the alignment and what fits (a006)', async () => {
    const b = await bench();
    const ioas_id = await b.ioas();
    const { dev } = await b.bind(ALONE);
    await b.attach(dev, ioas_id);
    const room = bytes([9n, 9n]);
    const a = await b.ioctl(IOMMU_IOAS_IOVA_RANGES, { ioas_id, num_iovas: 1, allowed_iovas: room });
    expect(a).toMatchObject({ errno: 'EMSGSIZE', out: { num_iovas: 2, out_iova_alignment: 4096n } });
    expect(rangesIn(room)).toEqual([[0n, 0xfedfffffn]]);
  });

  it('narrows with a device and widens when it leaves', async () => {
    const b = await bench();
    const ioas_id = await b.ioas();
    const { dev } = await b.bind(ALONE);
    const count = async () =>
      (await b.ioctl(IOMMU_IOAS_IOVA_RANGES, { ioas_id, num_iovas: 8, allowed_iovas: new Uint8Array(128) })).out
        .num_iovas;
    await b.attach(dev, ioas_id);
    expect(await count()).toBe(2);
    await b.detach(dev);
    expect(await count()).toBe(1);
  });

  it.each([
    ['a reserved field', { __reserved: 1 }, 'EOPNOTSUPP'],
    ['an IOAS that does not exist', { ioas_id: 99 }, 'ENOENT'],
    ['an array that cannot be written', { num_iovas: 1, allowed_iovas: 0x10n }, 'EFAULT'],
  ] as const)('%s', async (_why, fields, errno) => {
    const b = await bench();
    expect(await b.errno(IOMMU_IOAS_IOVA_RANGES, { ioas_id: await b.ioas(), ...fields })).toBe(errno);
  });
});

describe('ALLOW_IOVAS', () => {
  it.each([
    ['one byte', [[5n, 5n]], 'EINVAL'],
    ['backwards', [[9n, 5n]], 'EINVAL'],
    [
      'overlapping',
      [
        [0n, 0xfffn],
        [0x800n, 0x1fffn],
      ],
      'EINVAL',
    ],
    [
      'any order',
      [
        [0x8000n, 0x8fffn],
        [0n, 0xfffn],
      ],
      undefined,
    ],
    ['an empty list', [], undefined],
  ] as const)('%s', async (_why, ranges, errno) => {
    const b = await bench();
    expect(await allow(b, await b.ioas(), ...(ranges as unknown as Range[]))).toBe(errno);
  });

  it.each([
    ['a reserved field', { __reserved: 1 }, 'EOPNOTSUPP'],
    ['an IOAS that does not exist', { ioas_id: 99 }, 'ENOENT'],
    ['an array that cannot be read', { num_iovas: 1, allowed_iovas: 0x10n }, 'EFAULT'],
  ] as const)('%s', async (_why, fields, errno) => {
    const b = await bench();
    expect(await b.errno(IOMMU_IOAS_ALLOW_IOVAS, { ioas_id: await b.ioas(), ...fields })).toBe(errno);
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
});
