import { IOMMU_IOAS_ALLOC } from '@vfiolab/uapi';
import { bench } from '../testing/bench.js';
import { readOnly, refusal, refused } from '../testing/refusal.js';

it.each([
  ['a flag', { flags: 1 }, {}, 'EOPNOTSUPP'],
  ['a size one byte short', { size: 11 }, {}, 'EINVAL'],
  ['a longer size with a zero tail', { size: 16 }, { tail: new Uint8Array(4) }, undefined],
  ['a longer size with something in the tail', { size: 16 }, { tail: new Uint8Array([0, 0, 0, 1]) }, 'E2BIG'],
  ['a size that ends in unreadable memory', { size: 4096 }, {}, 'EFAULT'],
] as const)('%s', async (_why, fields, options, errno) => {
  const b = await bench();
  expect((await b.ioctl(IOMMU_IOAS_ALLOC, fields, options)).errno).toBe(errno);
  expect(b.host.figures('iommufd').objects).toBe(errno ? 0 : 1);
});

it('ids are the lowest free from 1 and reused at once', async () => {
  const b = await bench();
  expect([await b.ioas(), await b.ioas(), await b.ioas()]).toEqual([1, 2, 3]);
});

it.each([1, 0x80000000])('flags %s are EOPNOTSUPP, and nothing is made', async (flags) => {
  const b = await bench();
  expect(await refusal(b, IOMMU_IOAS_ALLOC, { flags })).toEqual(refused('EOPNOTSUPP'));
});

it('an id that cannot be told is EFAULT, and nothing is made', async () => {
  const b = await bench();
  expect(await readOnly(b, IOMMU_IOAS_ALLOC)).toEqual(refused('EFAULT'));
});
