import { IOMMU_IOAS_CHANGE_PROCESS } from '@vfiolab/uapi';
import { APERTURE, MockBench } from '../testing/mock-bench.js';

it('before 7.2 there is no such ioctl', async () => {
  const b = await MockBench.boot('6.12');
  expect(await b.errno(IOMMU_IOAS_CHANGE_PROCESS)).toBe('ENOTTY');
});

it('a reserved field is EOPNOTSUPP; nothing mapped is nothing to do; memory of a process cannot change hands', async () => {
  const b = await MockBench.boot('7.2');
  const ioas = await b.ioas();
  expect(await b.errno(IOMMU_IOAS_CHANGE_PROCESS, { __reserved: 1 })).toBe('EOPNOTSUPP');
  expect(await b.errno(IOMMU_IOAS_CHANGE_PROCESS)).toBeUndefined();
  await b.map(ioas, APERTURE, 4096n, await b.memory(4096));
  expect(await b.errno(IOMMU_IOAS_CHANGE_PROCESS)).toBe('EINVAL');
});
