import { IOMMU_DESTROY, IOMMU_FAULT_QUEUE_ALLOC } from '@vfiolab/uapi';
import { MockBench } from '../testing/mock-bench.js';
import { readOnly, refusal, refused, withoutFd } from '../testing/refusal.js';

it('an object and an fd; the fd holds the object', async () => {
  const b = await MockBench.boot();
  const { out_fault_id: id, out_fault_fd: fd } = (await b.ioctl(IOMMU_FAULT_QUEUE_ALLOC)).out;
  expect(id).toBe(1);
  expect(b.p.openFds).toContain(fd);
  expect(await refusal(b, IOMMU_DESTROY, { id })).toEqual(refused('EBUSY'));
  await b.must(b.p.close(fd));
  expect(await b.errno(IOMMU_DESTROY, { id })).toBeUndefined();
  expect(await b.afterExit()).toEqual([]);
});

it.each([1, 0x80000000])('flags %s are EOPNOTSUPP', async (flags) => {
  const b = await MockBench.boot();
  expect(await refusal(b, IOMMU_FAULT_QUEUE_ALLOC, { flags })).toEqual(refused('EOPNOTSUPP'));
});

it('without a free fd it is EMFILE, but flags are judged first', async () => {
  const b = await MockBench.boot();
  expect(await withoutFd(b, IOMMU_FAULT_QUEUE_ALLOC)).toEqual(refused('EMFILE'));
  expect(await withoutFd(b, IOMMU_FAULT_QUEUE_ALLOC, { flags: 1 })).toEqual(refused('EOPNOTSUPP'));
});

it('a struct that cannot be written is EFAULT, and there is neither object nor file', async () => {
  const b = await MockBench.boot();
  expect(await readOnly(b, IOMMU_FAULT_QUEUE_ALLOC)).toEqual(refused('EFAULT'));
  expect(b.host.figures('iommufd')).toMatchObject({ objects: 0, files: 1 });
});
