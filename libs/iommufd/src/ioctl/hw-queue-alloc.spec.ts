import { IOMMU_DESTROY, IOMMU_HW_QUEUE_ALLOC, IOMMU_VIOMMU_ALLOC, type KernelProfile } from '@vfiolab/uapi';
import { PAGES, pagesApi } from '@vfiolab/core';
import { U64_MAX } from '../spans.js';
import { APERTURE, MockBench } from '../testing/mock-bench.js';
import { readOnly, refusal, refused } from '../testing/refusal.js';

const TYPE = 0xdeadbeef;
const READ_ONLY = 5;
const WRITE_ONLY = 3;

/** A vIOMMU over an IOAS with four pages, a page that cannot be read, and two pages that are not neighbours in memory. */
async function setup(profile: KernelProfile = '7.2') {
  const b = await MockBench.boot(profile);
  const ioas = await b.ioas();
  const { device } = await b.mock(ioas);
  const va = await b.memory(65536);
  await b.must(b.p.write(Number(va), new Uint8Array(65536)));
  await b.map(ioas, APERTURE, 16384n, va);
  await b.map(ioas, APERTURE + 0x10000n, 4096n, va, WRITE_ONLY);
  await b.map(ioas, APERTURE + 0x20000n, 4096n, va + 0x4000n);
  await b.map(ioas, APERTURE + 0x21000n, 4096n, va + 0x8000n);
  await b.map(ioas, APERTURE + 0x30000n, 4096n, va, READ_ONLY);
  const made = { type: TYPE, dev_id: device, hwpt_id: await b.hwpt(device, ioas, 1) };
  const viommu_id = (await b.ioctl(IOMMU_VIOMMU_ALLOC, made)).out.out_viommu_id;
  return { b, base: { viommu_id, type: TYPE, index: 0, nesting_parent_iova: APERTURE, length: 4096n } };
}

it('6.12 does not have it', async () => {
  const { b, base } = await setup('6.12');
  expect(await refusal(b, IOMMU_HW_QUEUE_ALLOC, base)).toEqual(refused('ENOTTY'));
});

// Of two that hold at once, the first in this list wins; memory comes before the index (c050).
it.each([
  ['a flag', { flags: 1, length: 0n }, 'EOPNOTSUPP'],
  ['type 0', { type: 0, length: 0n }, 'EOPNOTSUPP'],
  ['no length', { length: 0n, viommu_id: 99 }, 'EINVAL'],
  ['a range that wraps', { nesting_parent_iova: U64_MAX - 4094n, length: 8192n, viommu_id: 99 }, 'EOVERFLOW'],
  ['a vIOMMU that does not exist', { viommu_id: 99, type: 99 }, 'ENOENT'],
  ['an object that is no vIOMMU', { viommu_id: 1, type: 99 }, 'ENOENT'],
  ['a type that the driver lacks', { type: 99, nesting_parent_iova: 0n }, 'EOPNOTSUPP'],
  ['a length that cannot be rounded up', { nesting_parent_iova: 1n, length: U64_MAX - 1n }, 'ERANGE'],
  ['a queue with more pages than can be listed', { nesting_parent_iova: 0n, length: 1n << 40n }, 'ENOMEM'],
  ['what is not mapped', { nesting_parent_iova: APERTURE + 0x100000n, index: 2 }, 'ENOENT'],
  ['a hole behind what is mapped', { nesting_parent_iova: APERTURE + 0x3000n, length: 8192n, index: 2 }, 'ENOENT'],
  ['what cannot be read', { nesting_parent_iova: APERTURE + 0x10000n, index: 2 }, 'EPERM'],
  ['pages that are not neighbours', { nesting_parent_iova: APERTURE + 0x20000n, length: 8192n, index: 2 }, 'EFAULT'],
  ['an index that there is not', { index: 2 }, 'EINVAL'],
  ['an index before its turn', { index: 1 }, 'EIO'],
] as const)('%s', async (_why, fields, errno) => {
  const { b, base } = await setup();
  expect(await refusal(b, IOMMU_HW_QUEUE_ALLOC, { ...base, ...fields })).toEqual(refused(errno));
  expect(b.host.broken()).toEqual([]);
});

it('an index that is taken is EEXIST', async () => {
  const { b, base } = await setup();
  expect(await b.errno(IOMMU_HW_QUEUE_ALLOC, base)).toBeUndefined();
  expect(await refusal(b, IOMMU_HW_QUEUE_ALLOC, base)).toEqual(refused('EEXIST'));
});

it('memory that may only be read will do; not a page is written', async () => {
  const { b, base } = await setup();
  const nesting_parent_iova = APERTURE + 0x30000n;
  const { errno, out } = await b.ioctl(IOMMU_HW_QUEUE_ALLOC, { ...base, nesting_parent_iova });
  expect(errno).toBeUndefined();
  expect(await b.errno(IOMMU_DESTROY, { id: out.out_hw_queue_id })).toBeUndefined();
});

it('areas that do not fit the page alignment of a queue are EADDRINUSE', async () => {
  const { b, base } = await setup();
  await b.map(1, APERTURE + 0x40000n, 2048n, await b.memory(4096));
  expect(await refusal(b, IOMMU_HW_QUEUE_ALLOC, base)).toEqual(refused('EADDRINUSE'));
});

it.each(['ENOMEM', 'EFAULT'] as const)('memory that cannot be pinned is %s', async (errno) => {
  const { b, base } = await setup();
  const met = b.host.refuse(PAGES, pagesApi.pin, { ok: false, errno });
  expect(await refusal(b, IOMMU_HW_QUEUE_ALLOC, base)).toEqual(refused(errno));
  expect(met()).toBe(true);
  expect(await b.errno(IOMMU_HW_QUEUE_ALLOC, base)).toBeUndefined();
});

it('a struct that cannot be written is EFAULT, and nothing is locked', async () => {
  const { b, base } = await setup();
  expect(await readOnly(b, IOMMU_HW_QUEUE_ALLOC, base)).toEqual(refused('EFAULT'));
  expect(await b.errno(IOMMU_HW_QUEUE_ALLOC, base)).toBeUndefined();
  expect(await b.afterExit()).toEqual([]);
});
