import { IOMMU_IOAS_MAP, IOMMU_OPTION, IOMMU_VFIO_IOAS, VFIO_IOMMU_MAP_DMA, VFIO_IOMMU_UNMAP_DMA } from '@vfiolab/uapi';
import { PAGES, pagesApi } from '@vfiolab/core';
import { U64_MAX } from '../spans.js';
import { APERTURE, MockBench } from '../testing/mock-bench.js';
import { refusal, refused } from '../testing/refusal.js';

const SET = 1;
const ALL = 2;
const VADDR = 4;

/** The compatibility IOAS with a device, and 16 KiB mapped at the aperture's start. */
async function setup(profile: '6.12' | '7.2' = '6.12') {
  const b = await MockBench.boot(profile);
  const ioas_id = await b.ioas();
  await b.errno(IOMMU_VFIO_IOAS, { ioas_id, op: SET });
  await b.mock(ioas_id);
  const vaddr = await b.memory(65536);
  const area = { flags: 3, vaddr, iova: APERTURE, size: 16384n };
  expect(await b.errno(VFIO_IOMMU_MAP_DMA, area)).toBeUndefined();
  return { b, ioas_id, area: { ...area, iova: APERTURE + 65536n }, range: { iova: APERTURE, size: 16384n } };
}

// Of two that hold at once, the first in this list wins.
it.each([
  ['an unknown flag', { flags: 3 | VADDR, size: 0n }, 'EINVAL'],
  ['no size', { size: 0n, iova: APERTURE }, 'EINVAL'],
  ['memory that wraps', { vaddr: U64_MAX - 4095n, size: 8192n }, 'EOVERFLOW'],
  ['a size that is not on the alignment', { size: 100n }, 'EINVAL'],
  ['an IOVA that is not on the alignment', { iova: APERTURE + 65537n }, 'EINVAL'],
  ['a range that wraps', { iova: U64_MAX - 4095n, size: 8192n }, 'EOVERFLOW'],
  ['a range that the IOMMU does not reach', { iova: 0n }, 'EINVAL'],
  ['over a mapping', { iova: APERTURE + 4096n }, 'EEXIST'],
  ['memory that is not there', { vaddr: 0x1000n }, 'EFAULT'],
] as const)('MAP_DMA: %s', async (_why, fields, errno) => {
  const { b, area } = await setup();
  expect(await refusal(b, VFIO_IOMMU_MAP_DMA, { ...area, ...fields })).toEqual(refused(errno));
});

it('MAP_DMA without any permission: the mock takes it until 7.2, page tables since then do not (SURPRISES 15)', async () => {
  const old = await setup();
  expect(await old.b.errno(VFIO_IOMMU_MAP_DMA, { ...old.area, flags: 0 })).toBeUndefined();
  const { b, area } = await setup('7.2');
  expect(await refusal(b, VFIO_IOMMU_MAP_DMA, { ...area, flags: 0 })).toEqual(refused('EINVAL'));
});

it.each(['ENOMEM', 'EFAULT'] as const)('MAP_DMA of pages that cannot be had is %s', async (errno) => {
  const { b, area } = await setup();
  const met = b.host.refuse(PAGES, pagesApi.storeCreate, { ok: false, errno });
  expect(await refusal(b, VFIO_IOMMU_MAP_DMA, area)).toEqual(refused(errno));
  expect(met()).toBe(true);
});

it('without an IOAS both are ENODEV, but unknown flags are judged first', async () => {
  const b = await MockBench.boot();
  await b.ioas();
  for (const def of [VFIO_IOMMU_MAP_DMA, VFIO_IOMMU_UNMAP_DMA]) {
    const ioctl = def as typeof VFIO_IOMMU_MAP_DMA;
    expect(await refusal(b, ioctl, { size: 4096n })).toEqual(refused('ENODEV'));
    expect(await refusal(b, ioctl, { flags: 8 })).toEqual(refused('EINVAL'));
  }
});

// argsz is named because the size that comes back is part of the answer.
it.each([
  ['an unknown flag', { flags: 1 }, 'EINVAL'],
  ['everything, and a range', { flags: ALL, size: 4096n, iova: 0n }, 'EINVAL'],
  ['everything, and a start', { flags: ALL, size: 0n }, 'EINVAL'],
  ['no size', { size: 0n }, 'EINVAL'],
  ['a range that wraps', { iova: U64_MAX, size: 2n }, 'EOVERFLOW'],
  ['a mapping cut at its end', { size: 4096n }, 'ENOENT'],
  ['a mapping cut at its start', { iova: APERTURE + 4096n }, 'ENOENT'],
] as const)('UNMAP_DMA: %s', async (_why, fields, errno) => {
  const { b, range } = await setup();
  expect(await refusal(b, VFIO_IOMMU_UNMAP_DMA, { argsz: 24, ...range, ...fields })).toEqual(refused(errno));
});

it('UNMAP_DMA of nothing is success, and so is everything twice', async () => {
  const { b } = await setup();
  expect(await b.errno(VFIO_IOMMU_UNMAP_DMA, { argsz: 24, iova: APERTURE + 65536n, size: 4096n })).toBeUndefined();
  for (let i = 0; i < 2; i++) expect(await b.errno(VFIO_IOMMU_UNMAP_DMA, { argsz: 24, flags: ALL })).toBeUndefined();
});

it('UNMAP_DMA of a mapping on its way in is EBUSY', async () => {
  const { b, ioas_id, area } = await setup();
  const { vaddr: user_va, iova, size } = area;
  const [mapped, gone] = await b.run(
    Promise.all([
      b.p.ioctl(b.fd, IOMMU_IOAS_MAP, { ioas_id, flags: 7, user_va, iova, length: size }),
      b.p.ioctl(b.fd, VFIO_IOMMU_UNMAP_DMA, { argsz: 24, iova, size }),
    ]),
  );
  expect([mapped.errno, gone.errno, gone.out.size]).toEqual([undefined, 'EBUSY', 0n]);
});

it('v1 cannot cut within a page: EINVAL, and the mapping stays', async () => {
  const b = await MockBench.boot();
  const ioas_id = await b.ioas();
  await b.errno(IOMMU_VFIO_IOAS, { ioas_id, op: SET });
  await b.errno(IOMMU_OPTION, { option_id: 1, op: 0, object_id: ioas_id, val64: 0n });
  await b.mock(ioas_id);
  await b.errno(VFIO_IOMMU_MAP_DMA, { flags: 3, vaddr: await b.memory(16384), iova: APERTURE, size: 16384n });
  const range = { argsz: 24, iova: APERTURE, size: 2048n };
  expect(await refusal(b, VFIO_IOMMU_UNMAP_DMA, range)).toEqual(refused('EINVAL'));
});
