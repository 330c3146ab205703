import {
  type Errno,
  IOMMU_HWPT_GET_DIRTY_BITMAP,
  IOMMU_HWPT_SET_DIRTY_TRACKING,
  iommu_test_dirty,
  IOMMU_TEST_OP_DIRTY,
  type KernelProfile,
} from '@vfiolab/uapi';
import { IOMMU, iommuApi } from '@vfiolab/core';
import { APERTURE, MockBench } from '../testing/mock-bench.js';
import { refusal, refused } from '../testing/refusal.js';

const LENGTH = 0x20000n;
const TRACKING = 2;

interface Setup {
  readonly b: MockBench;
  readonly va: bigint;
  readonly hwpt: number;
  readonly plain: number;
  readonly ioas: number;
  /** Marks half pages dirty by their bits, and answers how many there were. */
  mark(bits: number[], fields?: object): Promise<{ errno: Errno | undefined; count: bigint }>;
  read(fields?: object, bytes?: number): Promise<number[]>;
}

async function setup(profile: KernelProfile = '6.12'): Promise<Setup> {
  const b = await MockBench.boot(profile);
  const ioas = await b.ioas();
  const { device, hwpt: plain } = await b.mock(ioas);
  const hwpt = await b.hwpt(device, ioas, TRACKING);
  const va = await b.memory(0x40000);
  await b.map(ioas, APERTURE, LENGTH, va);
  const range = { iova: APERTURE, length: LENGTH, page_size: 2048n };
  return {
    b,
    va,
    hwpt,
    plain,
    ioas,
    mark: async (bits, fields = {}) => {
      const uptr = va + 0x30000n;
      await b.must(b.p.write(Number(uptr), Uint8Array.from(bits)));
      const { errno, arm } = await b.op(IOMMU_TEST_OP_DIRTY, iommu_test_dirty, hwpt, { ...range, uptr, ...fields });
      return { errno, count: arm.out_nr_dirty };
    },
    read: async (fields = {}, bytes = 8) => {
      const data = new Uint8Array(bytes);
      await b.ioctl(IOMMU_HWPT_GET_DIRTY_BITMAP, { hwpt_id: hwpt, ...range, data, ...fields });
      return [...data];
    },
  };
}
const track = (s: Setup, flags: number, hwpt_id = s.hwpt) =>
  s.b.errno(IOMMU_HWPT_SET_DIRTY_TRACKING, { hwpt_id, flags });

it.each([
  ['a flag that nobody knows, before the HWPT', { flags: 2, hwpt_id: 99 }, 'EOPNOTSUPP'],
  ['a HWPT that does not exist', { flags: 1, hwpt_id: 99 }, 'ENOENT'],
  ['an object that is no paging HWPT', { flags: 1, hwpt_id: 'ioas' }, 'ENOENT'],
  ['a HWPT that was not made for it', { flags: 1, hwpt_id: 'plain' }, 'EOPNOTSUPP'],
  ['to stop it there too', { flags: 0, hwpt_id: 'plain' }, 'EOPNOTSUPP'],
] as const)('SET_DIRTY_TRACKING: %s', async (_why, { flags, hwpt_id }, errno) => {
  const s = await setup();
  const id = typeof hwpt_id === 'string' ? s[hwpt_id] : hwpt_id;
  expect(await refusal(s.b, IOMMU_HWPT_SET_DIRTY_TRACKING, { hwpt_id: id, flags })).toEqual(refused(errno));
});

it('SET_DIRTY_TRACKING to what it is already is success', async () => {
  const s = await setup();
  for (const flags of [0, 1, 1, 0, 0]) expect(await track(s, flags)).toBeUndefined();
});

it('SET_DIRTY_TRACKING: an IOMMU without memory is ENOMEM', async () => {
  const s = await setup();
  const met = s.b.host.refuse(IOMMU, iommuApi.dirtyTracking, { ok: false, errno: 'ENOMEM' });
  const call = { hwpt_id: s.hwpt, flags: 1 };
  expect(await refusal(s.b, IOMMU_HWPT_SET_DIRTY_TRACKING, call)).toEqual(refused('ENOMEM'));
  expect(met()).toBe(true);
});

it('bits are read, kept with NO_CLEAR, and cleared without; starting again clears them', async () => {
  const s = await setup();
  expect((await s.mark([5])).errno).toBe('EINVAL');
  await track(s, 1);
  expect(await s.mark([5, 0, 128, 0, 0, 0, 0, 0])).toEqual({ errno: undefined, count: 3n });
  expect(await s.b.reread()).toBe(true);
  expect(await s.read({ flags: 1 })).toEqual([5, 0, 128, 0, 0, 0, 0, 0]);
  expect(await s.read()).toEqual([5, 0, 128, 0, 0, 0, 0, 0]);
  expect(await s.read()).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
  await s.mark([1]);
  await track(s, 1);
  expect(await s.read()).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
  await s.mark([1]);
  await track(s, 0);
  expect(await s.read()).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
  expect(await s.b.afterExit()).toEqual([]);
});

it('a page size other than the IOPTE is answered in its own bits, and bits of the caller stay (a028)', async () => {
  const s = await setup();
  await track(s, 1);
  await s.mark([0x0f]);
  expect((await s.read({ page_size: 4096n, flags: 1 }, 4))[0]).toBe(3);
  expect((await s.read({ page_size: 1024n, flags: 1 }, 16))[0]).toBe(0xff);
  const data = Uint8Array.of(0x80, 0, 0, 0);
  const range = { hwpt_id: s.hwpt, iova: APERTURE, length: LENGTH, page_size: 4096n };
  await s.b.ioctl(IOMMU_HWPT_GET_DIRTY_BITMAP, { ...range, data });
  expect(data[0]).toBe(0x83);
});

describe('on the mock of 7.2', () => {
  it('a page is dirty in its first half, whichever half was written, and clean as a whole (a028, c023)', async () => {
    const s = await setup('7.2');
    await track(s, 1);
    expect((await s.mark([0x0e, 0x80])).count).toBe(4n);
    expect((await s.read({ flags: 1 })).slice(0, 2)).toEqual([0x05, 0x40]);
    expect((await s.read({ page_size: 1024n, flags: 1 }, 16)).slice(0, 2)).toEqual([0x33, 0]);
    expect((await s.read()).slice(0, 2)).toEqual([0x05, 0x40]);
    expect(await s.read()).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
  });

  it('a half of a page that is mapped alone is an entry of its own', async () => {
    const s = await setup('7.2');
    const [iova, length] = [APERTURE + 0x100000n, 2048n];
    await s.b.map(s.ioas, iova, length, s.va + 2048n);
    await track(s, 1);
    await s.mark([1], { iova, length });
    expect((await s.read({ iova, length }, 1))[0]).toBe(1);
  });

  it('a bit of DIRTY stands for an address (c023); pages far apart and beyond the aperture', async () => {
    const s = await setup('7.2');
    await track(s, 1);
    const pages = { page_size: 4096n, length: LENGTH };
    expect((await s.mark([0x09, 0x80], pages)).count).toBe(3n);
    expect((await s.read(pages, 4)).slice(0, 2)).toEqual([0x09, 0x80]);
    const far = APERTURE + 0x10000000n;
    await s.b.map(s.ioas, far, LENGTH, s.va);
    const apart = [1, 0, 1, ...new Array<number>(12).fill(0), 0x80];
    expect((await s.mark(apart, { page_size: 0x1000000n, length: 0x80000000n })).count).toBe(3n);
    expect((await s.read(pages, 4))[0]).toBe(1);
    expect((await s.read({ ...pages, iova: far }, 4))[0]).toBe(1);
  });
});

// Of two that hold at once, the first in this list wins.
it.each([
  ['an unknown flag', { flags: 2, hwpt_id: 99 }, 'EOPNOTSUPP'],
  ['a reserved field', { __reserved: 1, hwpt_id: 99 }, 'EOPNOTSUPP'],
  ['a HWPT that does not exist', { hwpt_id: 99, length: 0n }, 'ENOENT'],
  ['an object that is no paging HWPT', { hwpt_id: 'ioas' }, 'ENOENT'],
  ['no length', { length: 0n, page_size: 0n }, 'EINVAL'],
  ['a range that wraps', { iova: 0xfffffffffffff801n, length: 4096n, page_size: 0n }, 'EOVERFLOW'],
  ['an IOVA that is not on the alignment', { iova: APERTURE + 1n }, 'EINVAL'],
  ['an end that is not on the alignment', { length: LENGTH + 1n }, 'EINVAL'],
  ['no page size', { page_size: 0n, hwpt_id: 'plain' }, 'EINVAL'],
  ['an IOVA that is not a multiple of the page size', { iova: APERTURE + 4096n, page_size: 8192n }, 'EINVAL'],
  ['a length that is not a multiple of the page size', { page_size: 0x40000n, hwpt_id: 'plain' }, 'EINVAL'],
  ['a HWPT that was not made for it', { hwpt_id: 'plain' }, 'EOPNOTSUPP'],
] as const)('GET_DIRTY_BITMAP: %s', async (_why, fields, errno) => {
  const s = await setup();
  const range = { iova: APERTURE, length: LENGTH, page_size: 2048n, data: new Uint8Array(64) };
  const named = 'hwpt_id' in fields ? fields.hwpt_id : s.hwpt;
  const hwpt_id = typeof named === 'string' ? s[named] : named;
  expect(await refusal(s.b, IOMMU_HWPT_GET_DIRTY_BITMAP, { ...range, ...fields, hwpt_id })).toEqual(refused(errno));
});

it.each([
  ['a hole: the walk ends there, and nobody is told', { iova: 0n }],
  ['a page size that is no power of two', { page_size: 2049n }],
  ['a bitmap that is not there', { data: 0x1000n }],
] as const)('GET_DIRTY_BITMAP: %s', async (_why, fields) => {
  const s = await setup();
  const range = { hwpt_id: s.hwpt, iova: APERTURE, length: LENGTH, page_size: 2048n, data: new Uint8Array(64) };
  expect(await s.b.errno(IOMMU_HWPT_GET_DIRTY_BITMAP, { ...range, ...fields })).toBeUndefined();
});

it.each(['7.2', '7.3'] as const)('GET_DIRTY_BITMAP of nothing is EOVERFLOW on %s', async (profile) => {
  const s = await setup(profile);
  const range = { hwpt_id: s.hwpt, iova: APERTURE, length: 0n, page_size: 2048n };
  expect(await refusal(s.b, IOMMU_HWPT_GET_DIRTY_BITMAP, range)).toEqual(refused('EOVERFLOW'));
});

it.each([
  ['no page size', { page_size: 0n }, 'EINVAL'],
  ['no length', { length: 0n }, 'EINVAL'],
  ['misaligned', { iova: APERTURE + 1n }, 'EINVAL'],
  ['no bitmap', { uptr: 0n }, 'EINVAL'],
  ['a bitmap that is not there', { uptr: 0x1000n }, 'EFAULT'],
  ['more than 16 MiB of bits', { length: 1n << 40n }, 'EOVERFLOW'],
  ['what is not mapped does not count', { iova: APERTURE + 0x100000n }, undefined],
] as const)('DIRTY: %s', async (_why, fields, errno) => {
  const s = await setup();
  await track(s, 1);
  const marked = await s.mark([0xff], fields);
  expect(marked).toEqual({ errno, count: 0n });
});
