import { mayAnswer } from './documented.js';
import { fuzz } from './fuzz.js';
import { fuzzDevice } from './fuzz-device.js';
import { boot } from './machine.js';

it.each([
  ['6.12', 1],
  ['7.2', 2],
] as const)(
  'no call stops a service, changes anything when it is refused, or answers what is not documented: %s',
  async (profile, seed) => {
    const report = fuzz({ world: await boot({ kind: 'mock', profile }), profile, calls: 6000, seed });
    expect(report.findings).toEqual([]);
    expect(report.calls).toBe(6000);
    // Deep enough: calls that need an IOAS, a device and memory did succeed.
    for (const name of ['IOMMU_IOAS_MAP', 'IOMMU_IOAS_UNMAP', 'IOMMU_GET_HW_INFO', 'IOMMU_TEST_CMD', 'IOMMU_DESTROY'])
      expect([name, report.answers.get(`${name} ok`) ?? 0]).not.toEqual([name, 0]);
  },
  60_000,
);

it('the same of the cdev of a function, bound or not', async () => {
  const world = await boot({ kind: 'devices', profile: '7.2' });
  const report = fuzzDevice({ world, profile: '7.2', calls: 4000, seed: 3 });
  expect(report.findings).toEqual([]);
  for (const name of ['VFIO_DEVICE_BIND_IOMMUFD', 'VFIO_DEVICE_ATTACH_IOMMUFD_PT', 'VFIO_DEVICE_GET_INFO'])
    expect([name, report.answers.get(`${name} ok`) ?? 0]).not.toEqual([name, 0]);
});

it.each([
  ['VFIO_DEVICE_ATTACH_IOMMUFD_PT', 'ENOSPC', 'a PASID that no allocator hands out (fuzz, seed 2)'],
  ['IOMMU_HWPT_ALLOC', 'ENOSPC', 'no domain id left in the IOMMU'],
] as const)('%s may answer %s: %s', (name, errno) => expect(mayAnswer(name, errno)).toBe(true));

it('the same seed makes the same calls', async () => {
  const run = async () => fuzz({ world: await boot({ kind: 'mock' }), profile: '7.2', calls: 300, seed: 5 });
  expect((await run()).answers).toEqual((await run()).answers);
});
