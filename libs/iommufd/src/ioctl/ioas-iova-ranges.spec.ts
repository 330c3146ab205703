import { IOMMU_IOAS_IOVA_RANGES } from '@vfiolab/uapi';
import { U64_MAX } from '../spans.js';
import { ALONE, bench } from '../testing/bench.js';
import { bytesOf, rangesIn } from '../testing/ranges.js';
import { readOnly, refusal, refused } from '../testing/refusal.js';

it('of a fresh IOAS is everything, with alignment 1', async () => {
  const b = await bench();
  const room = bytesOf([[1n, 1n]]);
  const a = await b.ioctl(IOMMU_IOAS_IOVA_RANGES, { ioas_id: await b.ioas(), num_iovas: 1, allowed_iovas: room });
  expect(a).toMatchObject({ ret: 0, out: { num_iovas: 1, out_iova_alignment: 1n } });
  expect(rangesIn(room)).toEqual([[0n, U64_MAX]]);
});

it('with too little room is EMSGSIZE, and still says the count, the alignment and what fits (a006)', async () => {
  const b = await bench();
  const ioas_id = await b.ioas();
  const { dev } = await b.bind(ALONE);
  await b.attach(dev, ioas_id);
  const room = bytesOf([[9n, 9n]]);
  const a = await b.ioctl(IOMMU_IOAS_IOVA_RANGES, { ioas_id, num_iovas: 1, allowed_iovas: room });
  expect(a).toMatchObject({ errno: 'EMSGSIZE', out: { num_iovas: 2, out_iova_alignment: 4096n } });
  expect(rangesIn(room)).toEqual([[0n, 0xfedfffffn]]);
});

it('narrows with a device and widens when it leaves', async () => {
  const b = await bench();
  const ioas_id = await b.ioas();
  const { dev } = await b.bind(ALONE);
  const count = async () =>
    (await b.ioctl(IOMMU_IOAS_IOVA_RANGES, { ioas_id, num_iovas: 8, allowed_iovas: new Uint8Array(128) })).out
      .num_iovas;
  await b.attach(dev, ioas_id);
  expect(await count()).toBe(2);
  await b.detach(dev);
  expect(await count()).toBe(1);
});

it.each([
  ['a reserved field, before the IOAS', { __reserved: 1, ioas_id: 99 }, 'EOPNOTSUPP'],
  ['an IOAS that does not exist, before the array', { ioas_id: 99, num_iovas: 1, allowed_iovas: 0x10n }, 'ENOENT'],
  ['an id of another type', { ioas_id: 'device' }, 'ENOENT'],
  ['an array that cannot be written', { num_iovas: 1, allowed_iovas: 0x10n }, 'EFAULT'],
  ['no room at all', { num_iovas: 0, allowed_iovas: 0n }, 'EMSGSIZE'],
] as const)('%s', async (_why, fields, errno) => {
  const b = await bench();
  const ioas = await b.ioas();
  const { id } = await b.bind(ALONE);
  const ioas_id = 'ioas_id' in fields ? (fields.ioas_id === 'device' ? id : fields.ioas_id) : ioas;
  expect(await refusal(b, IOMMU_IOAS_IOVA_RANGES, { ...fields, ioas_id })).toEqual(refused(errno));
});

it('a struct that cannot be written is EFAULT, also when there is too little room', async () => {
  const b = await bench();
  expect(await readOnly(b, IOMMU_IOAS_IOVA_RANGES, { ioas_id: await b.ioas() })).toEqual(refused('EFAULT'));
});
