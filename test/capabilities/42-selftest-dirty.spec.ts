/**
 * 42: what the kernel's iommufd self-test asks of dirty bitmaps and of the VFIO compatibility, in our own words: ranges whose
 * bits fill part of a byte up to several pages, bitmaps at every address, mappings cut in any order.
 */
import {
  IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
  IOMMU_HWPT_GET_DIRTY_BITMAP,
  IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR,
  IOMMU_HWPT_SET_DIRTY_TRACKING,
  iommu_test_dirty,
  IOMMU_TEST_OP_DIRTY,
  IOMMU_VFIO_IOAS,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  VFIO_SET_IOMMU,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1v2_IOMMU,
} from '@vfiolab/uapi';
import { Chance } from '../../libs/sim/src/hunt/chance.js';
import { Lab, NOTHING } from './support/lab.js';
import { APERTURE, MOCK_PAGE, PAGE, type Program } from './support/program.js';

const KIB = 1024;
const HUGE_IOVA = 2;
const MOCK_HUGE = 0x100000;

const bitsOf = (bytes: readonly number[]): number[] =>
  bytes.flatMap((byte, i) => [0, 1, 2, 3, 4, 5, 6, 7].filter((bit) => byte & (1 << bit)).map((bit) => 8 * i + bit));

/** Every other IOPTE of `perBit` mock pages is written to; the bitmap lies at `at`. */
async function sweep(p: Program, hwpt_id: number, length: number, perBit: number, at: bigint, flags: number) {
  const bits = length / MOCK_PAGE;
  const bytes = Math.ceil(bits / 8);
  const even = Array.from({ length: Math.ceil(bits / (2 * perBit)) }, (_, i) => 2 * perBit * i);
  const bitmap = new Uint8Array(bytes);
  for (const bit of even) bitmap[bit >> 3]! |= 1 << (bit & 7);
  await p.write(at, bitmap);
  const range = { iova: APERTURE, length: BigInt(length), page_size: BigInt(MOCK_PAGE) };
  const marked = await p.op(IOMMU_TEST_OP_DIRTY, iommu_test_dirty, hwpt_id, { ...range, uptr: at });
  expect(marked.out_nr_dirty).toBe(BigInt(even.length));
  // One written page of a large IOPTE is all of it.
  const dirty = even.flatMap((bit) => Array.from({ length: perBit }, (_, i) => bit + i)).filter((bit) => bit < bits);
  const read = async (): Promise<number[]> => {
    await p.write(at, new Uint8Array(bytes));
    await p.ioctl(IOMMU_HWPT_GET_DIRTY_BITMAP, { hwpt_id, flags, ...range, data: at });
    return bitsOf(await p.read(at, bytes));
  };
  expect(await read()).toEqual(dirty);
  expect(await read()).toEqual(flags === IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR ? dirty : []);
}

it.each([
  [8 * KIB, 12],
  [16 * KIB, 12],
  [64 * KIB, 12],
  [128 * KIB, 12],
  [320 * KIB, 12],
  [64 * KIB * KIB, 12],
  [64 * KIB * KIB, 21],
  [128 * KIB * KIB, 21],
])(
  '42: dirty bits of %i bytes in pages of 2^%i: read, cleared or kept; the bitmap may begin at any byte',
  async (length, pageShift) => {
    const lab = await Lab.mock({ profile: '6.12' });
    const p = await lab.program('test');
    const [first, ioas] = [await p.ioas(), await p.ioas()];
    const { device } = await p.mock(first, pageShift === 21 ? HUGE_IOVA : 0);
    const va = await p.memory(length, { pageShift, shared: true });
    expect(await p.map(ioas, APERTURE, va, length)).toBeUndefined();
    const hwpt_id = await p.hwpt(device, ioas, IOMMU_HWPT_ALLOC_DIRTY_TRACKING);
    await p.ioctl(IOMMU_HWPT_SET_DIRTY_TRACKING, { hwpt_id, flags: 1 });
    const perBit = pageShift === 21 ? MOCK_HUGE / MOCK_PAGE : 1;
    const bitmap = await p.memory(16 * PAGE);
    // Large bitmaps begin at two places only, for the time it takes.
    const places = length > 1024 * KIB ? [0n, 0xff1n] : [0n, BigInt(MOCK_PAGE), 0xff1n];
    for (const at of places) await sweep(p, hwpt_id, length, perBit, bitmap + at, 0);
    for (const at of places) {
      await sweep(p, hwpt_id, length, perBit, bitmap + at, IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR);
      // Off and on again: nothing is dirty.
      for (const flags of [0, 1]) await p.ioctl(IOMMU_HWPT_SET_DIRTY_TRACKING, { hwpt_id, flags });
    }
    expect(await p.destroy(hwpt_id)).toBeUndefined();
    expect(await lab.afterwards(p)).toEqual(NOTHING);
  },
);

it('42: a HWPT that tracks takes no device that cannot, and such a device cannot ask for one', async () => {
  const lab = await Lab.mock();
  const p = await lab.program('test');
  const [ioas, other] = [await p.ioas(), await p.ioas()];
  const { device } = await p.mock(ioas);
  const hwpt = await p.hwpt(device, ioas, IOMMU_HWPT_ALLOC_DIRTY_TRACKING);
  expect(await p.mock(hwpt)).toMatchObject({ hwpt });
  await expect(p.mock(hwpt, 1)).rejects.toThrow('EINVAL');
  const blind = await p.mock(other, 1);
  await expect(p.hwpt(blind.device, other, IOMMU_HWPT_ALLOC_DIRTY_TRACKING)).rejects.toThrow('EOPNOTSUPP');
  expect(await p.replaceErrno(blind.object, hwpt)).toBe('EINVAL');
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

describe.each([
  ['type1 v1', VFIO_TYPE1_IOMMU],
  ['type1 v2', VFIO_TYPE1v2_IOMMU],
] as const)('42: %s over /dev/iommu', (_name, version) => {
  async function setup() {
    const lab = await Lab.mock();
    const p = await lab.program('test');
    const ioas_id = await p.ioas();
    await p.mock(ioas_id);
    await p.ioctl(IOMMU_VFIO_IOAS, { op: 1, ioas_id });
    expect(await lab.run(p.process.ioctlAt(p.fd, VFIO_SET_IOMMU.nr, version, []))).toMatchObject({ ret: 0 });
    const map = (at: number, vaddr: bigint, size: number) =>
      p.errno(VFIO_IOMMU_MAP_DMA, { flags: 3, vaddr, iova: APERTURE + BigInt(at), size: BigInt(size) });
    const unmap = async (fields: object) => {
      const { errno, out } = await p.call(VFIO_IOMMU_UNMAP_DMA, { argsz: 24, ...fields });
      return errno ?? Number(out.size);
    };
    return { lab, p, map, unmap };
  }
  /** All numbers below n, in an order that the seed decides. */
  const shuffled = (n: number): number[] => {
    const chance = new Chance(n + version);
    return Array.from({ length: n }, (_, i) => [chance.bits(), i] as const)
      .sort(([a], [b]) => a - b)
      .map(([, i]) => i);
  };

  it('pages are mapped one by one and unmapped in any order', async () => {
    const { lab, p, map, unmap } = await setup();
    const va = await p.memory(16 * PAGE);
    expect(await map(0, va, 16 * PAGE)).toBeUndefined();
    expect(await unmap({ iova: APERTURE, size: BigInt(16 * PAGE) })).toBe(16 * PAGE);
    expect(await unmap({ iova: APERTURE, size: BigInt(16 * PAGE) })).toBe(0);
    expect(await map(0, va, 16 * PAGE)).toBeUndefined();
    expect(await unmap({ flags: 2, iova: APERTURE, size: BigInt(16 * PAGE) })).toBe('EINVAL');
    expect(await unmap({ flags: 2 })).toBe(16 * PAGE);
    for (let i = 0; i < 16; i++) expect(await map(i * PAGE, va + BigInt(i * PAGE), PAGE)).toBeUndefined();
    for (const [n, i] of shuffled(16).entries()) {
      expect(await unmap({ iova: APERTURE + BigInt(i * PAGE), size: BigInt(PAGE) })).toBe(PAGE);
      expect((await p.counters()).pinned).toBe(15 - n);
    }
    expect(await lab.afterwards(p)).toEqual(NOTHING);
  });

  it('huge pages are cut in any order by v1, and not by v2', async () => {
    const { lab, p, map, unmap } = await setup();
    const size = 2 * 0x200000;
    const va = await p.memory(size, { pageShift: 21, shared: true });
    expect(await map(0, va, size)).toBeUndefined();
    const piece = size / 16;
    for (const [n, i] of shuffled(16).entries()) {
      const answer = await unmap({ iova: APERTURE + BigInt(i * piece), size: BigInt(piece) });
      expect(answer).toBe(version === VFIO_TYPE1_IOMMU ? piece : 'ENOENT');
      const left = version === VFIO_TYPE1_IOMMU ? 15 - n : 16;
      expect((await p.counters()).pinned).toBe((left * piece) / PAGE);
      expect(lab.broken()).toEqual([]);
    }
    expect(await lab.afterwards(p)).toEqual(NOTHING);
  });
});
