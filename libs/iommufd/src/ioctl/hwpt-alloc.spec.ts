import { IOMMU_HWPT_ALLOC } from '@vfiolab/uapi';
import { ALONE, bench, FIRST } from '../testing/bench.js';

it.each([
  ['a reserved field, before everything', { __reserved: 1, dev_id: 99 }, 'EOPNOTSUPP'],
  ['data of no type', { data_len: 4, dev_id: 99 }, 'EINVAL'],
  ['a type without data', { data_type: 1, dev_id: 99 }, 'EINVAL'],
  ['a device that does not exist', { dev_id: 99, pt_id: 99 }, 'ENOENT'],
  ['a table that does not exist', { pt_id: 99 }, 'EINVAL'],
  ['a device where a table belongs', { pt_id: 'device' }, 'EINVAL'],
  ['a flag that the IOMMU lacks', { flags: 2 }, 'EOPNOTSUPP'],
  ['driver data that the IOMMU lacks', { data_type: 1, data_len: 24 }, 'EOPNOTSUPP'],
] as const)('%s', async (_why, fields, errno) => {
  const b = await bench();
  const ioas = await b.ioas();
  const { id } = await b.bind(ALONE);
  const pt_id = 'pt_id' in fields ? (fields.pt_id === 'device' ? id : fields.pt_id) : ioas;
  expect(await b.errno(IOMMU_HWPT_ALLOC, { dev_id: id, ...fields, pt_id })).toBe(errno);
  expect(b.host.figures('iommu').domains).toBe(0);
  expect(b.host.broken()).toEqual([]);
});

it('is filled with what the IOAS maps, without a second pin', async () => {
  const b = await bench();
  const ioas = await b.ioas();
  const { id } = await b.bind(ALONE);
  await b.map(ioas, 0x100000n, 16384n, await b.memory(16384));
  await b.ioctl(IOMMU_HWPT_ALLOC, { dev_id: id, pt_id: ioas });
  await b.ioctl(IOMMU_HWPT_ALLOC, { dev_id: id, pt_id: ioas });
  expect(b.host.figures('iommu').mappedPages).toBe(8);
  expect(await b.pinnedKb()).toBe(16);
  expect(b.host.broken()).toEqual([]);
});

it('a group moves as one: a sibling may only follow, and replace moves both', async () => {
  const b = await bench();
  const [here, there] = [await b.ioas(), await b.ioas()];
  const one = await b.bind(FIRST);
  const two = await b.bind('0000:00:1e.1');
  expect((await b.attach(one.dev, here)).errno).toBeUndefined();
  expect((await b.attach(two.dev, there)).errno).toBe('EINVAL');
  expect((await b.attach(two.dev, here)).errno).toBeUndefined();
  expect((await b.attach(one.dev, there)).errno).toBeUndefined();
  expect((await b.attach(two.dev, here)).errno).toBeUndefined();
  expect(b.host.broken()).toEqual([]);
  for (const { dev } of [one, two]) expect(await b.detach(dev)).toBeUndefined();
  expect(b.host.figures('iommu').domains).toBe(0);
  expect(b.host.broken()).toEqual([]);
});

it('a replace that fails leaves the old attachment working (a032)', async () => {
  const b = await bench();
  const [here, bad] = [await b.ioas(), await b.ioas()];
  const { dev } = await b.bind(ALONE);
  const before = (await b.attach(dev, here)).out;
  await b.map(bad, 0x2000n, 4096n, 0x1000n);
  expect((await b.attach(dev, bad)).errno).toBe('EFAULT');
  expect((await b.attach(dev, here)).out).toMatchObject({ pt_id: (before as unknown as { pt_id: number }).pt_id });
  expect(b.host.broken()).toEqual([]);
});
