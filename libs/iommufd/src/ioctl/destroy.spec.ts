import { IOMMU_DESTROY, IOMMU_HWPT_ALLOC } from '@vfiolab/uapi';
import { ALONE, bench, FIRST } from '../testing/bench.js';

it('an id that does not exist is ENOENT', async () => {
  const b = await bench();
  expect(await b.errno(IOMMU_DESTROY, { id: 0 })).toBe('ENOENT');
  expect(await b.errno(IOMMU_DESTROY, { id: 7 })).toBe('ENOENT');
});

it('an IOAS with areas and nothing else goes, and its id is free again', async () => {
  const b = await bench();
  const ioas = await b.ioas();
  expect(await b.map(ioas, 0x1000n, 4096n, await b.memory(4096))).toBeUndefined();
  expect(await b.errno(IOMMU_DESTROY, { id: ioas })).toBeUndefined();
  expect(await b.errno(IOMMU_DESTROY, { id: ioas })).toBe('ENOENT');
  expect(await b.ioas()).toBe(ioas);
  expect(b.host.figures('pages').stores).toBe(0);
});

it('whatever is in use is EBUSY, in every order that a device makes (b013)', async () => {
  const b = await bench();
  const ioas = await b.ioas();
  const { dev, id } = await b.bind(ALONE);
  const { pt_id: hwpt } = (await b.attach(dev, ioas)).out as unknown as { pt_id: number };
  for (const used of [ioas, id, hwpt]) expect(await b.errno(IOMMU_DESTROY, { id: used })).toBe('EBUSY');
  expect(await b.detach(dev)).toBeUndefined();
  expect(await b.errno(IOMMU_DESTROY, { id: hwpt })).toBe('ENOENT');
  expect(await b.errno(IOMMU_DESTROY, { id: ioas })).toBeUndefined();
  expect(await b.errno(IOMMU_DESTROY, { id })).toBe('EBUSY');
  await b.close(dev);
  expect(await b.errno(IOMMU_DESTROY, { id })).toBe('ENOENT');
  expect(b.host.broken()).toEqual([]);
});

it('a HWPT that was made by hand stays until it is destroyed, and holds its IOAS', async () => {
  const b = await bench();
  const ioas = await b.ioas();
  const { dev, id } = await b.bind(FIRST);
  const hwpt = (await b.ioctl(IOMMU_HWPT_ALLOC, { dev_id: id, pt_id: ioas })).out.out_hwpt_id;
  await b.attach(dev, hwpt);
  expect(await b.errno(IOMMU_DESTROY, { id: hwpt })).toBe('EBUSY');
  await b.detach(dev);
  expect(await b.errno(IOMMU_DESTROY, { id: ioas })).toBe('EBUSY');
  expect(await b.errno(IOMMU_DESTROY, { id: hwpt })).toBeUndefined();
  expect(await b.errno(IOMMU_DESTROY, { id: ioas })).toBeUndefined();
  expect(b.host.figures('iommu').domains).toBe(0);
});
