import { VFIO_IOMMU_UNMAP_DMA } from '@vfiolab/uapi';
import { FIRST, PAGE, power, registered, TCE, V2, WHOLE, wholeness } from '../testing/power.js';

const BDF = FIRST.members[0]!;
const WINDOW = 0x8000_0000n;

async function mapped() {
  const made = await registered();
  const errno = await made.b.map(made.fd, { vaddr: made.va, iova: 0n, size: PAGE });
  if (errno) throw new Error(errno);
  return made;
}

it('clears what is in the range, and answers the size that it was given', async () => {
  const { b, fd } = await mapped();
  expect(await b.unmap(fd, { iova: 4n * TCE, size: TCE })).toBe(TCE);
  expect([await b.dmaWrite(BDF, 3n * TCE), await b.dmaWrite(BDF, 4n * TCE)]).toEqual([true, false]);
  expect(await b.unmap(fd, { iova: 0n, size: WINDOW })).toBe(WINDOW);
  expect(await b.dmaWrite(BDF, 0n)).toBe(false);
  expect(await b.unmap(fd, { iova: 0n, size: 0n })).toBe(0n);
  expect(wholeness(b)).toEqual(WHOLE);
});

it.each([
  ['argsz', { argsz: 23 }, 'EINVAL'],
  ['a flag', { flags: 1 }, 'EINVAL'],
  ['half an IOMMU page', { size: 0x800n }, 'EINVAL'],
  ['a place outside of the window', { iova: WINDOW }, 'ENXIO'],
])('%s is refused', async (_what, wrong, errno) => {
  const { b, fd } = await mapped();
  expect(await b.unmap(fd, { iova: 0n, size: TCE, ...wrong })).toBe(errno);
});

it.each([
  ['an iova in an IOMMU page', { iova: 0x800n, size: TCE }],
  ['a range that ends behind the window', { iova: WINDOW - TCE, size: 2n * TCE }],
  ['one of nearly everything (q005)', { iova: TCE, size: (1n << 64n) - TCE }],
])('%s answers 1 and does nothing (p055, p017)', async (_what, range) => {
  const { b, fd } = await mapped();
  expect(await b.ioctl(fd, VFIO_IOMMU_UNMAP_DMA, range)).toMatchObject({ ret: 1, errno: undefined });
  expect(await b.dmaWrite(BDF, TCE)).toBe(true);
});

it('before anything is registered: EPERM', async () => {
  const { b, fd } = await power(V2);
  expect(await b.unmap(fd, { iova: 0n, size: TCE })).toBe('EPERM');
});
