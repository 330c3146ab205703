import { IOMMU_DESTROY, IOMMU_VFIO_IOAS } from '@vfiolab/uapi';
import { MockBench } from '../testing/mock-bench.js';
import { readOnly, refusal, refused } from '../testing/refusal.js';

const [GET, SET, CLEAR] = [0, 1, 2];

async function setup() {
  const b = await MockBench.boot();
  const ioas_id = await b.ioas();
  await b.errno(IOMMU_VFIO_IOAS, { ioas_id, op: SET });
  return { b, ioas_id, get: () => b.ioctl(IOMMU_VFIO_IOAS, { op: GET }) };
}

it.each([
  ['an op that nobody knows, whatever the IOAS', { op: 3, ioas_id: 99 }, 'EOPNOTSUPP'],
  ['a reserved field, before the IOAS', { op: SET, __reserved: 1, ioas_id: 99 }, 'EOPNOTSUPP'],
  ['a reserved field of a question', { op: GET, __reserved: 1 }, 'EOPNOTSUPP'],
  ['a reserved field of CLEAR', { op: CLEAR, __reserved: 1 }, 'EOPNOTSUPP'],
  ['an IOAS that does not exist', { op: SET, ioas_id: 99 }, 'ENOENT'],
  ['an object that is no IOAS', { op: SET, ioas_id: 'device' }, 'ENOENT'],
] as const)('%s', async (_why, fields, errno) => {
  const { b, ioas_id: ioas } = await setup();
  const { device } = await b.mock(ioas);
  const ioas_id = 'ioas_id' in fields ? (fields.ioas_id === 'device' ? device : fields.ioas_id) : ioas;
  expect(await refusal(b, IOMMU_VFIO_IOAS, { ...fields, ioas_id })).toEqual(refused(errno));
});

it('set, get and clear; destroying the IOAS clears it too, and asking for none is ENODEV', async () => {
  const { b, ioas_id, get } = await setup();
  expect((await get()).out.ioas_id).toBe(ioas_id);
  expect(await b.reread()).toBe(true);
  await b.errno(IOMMU_DESTROY, { id: ioas_id });
  expect((await get()).errno).toBe('ENODEV');
  await b.errno(IOMMU_VFIO_IOAS, { op: SET, ioas_id: await b.ioas() });
  await b.errno(IOMMU_VFIO_IOAS, { op: CLEAR });
  expect(await refusal(b, IOMMU_VFIO_IOAS, { op: GET })).toEqual(refused('ENODEV'));
});

it('only GET writes its struct: EFAULT where that cannot be', async () => {
  const { b, ioas_id } = await setup();
  expect(await readOnly(b, IOMMU_VFIO_IOAS, { op: GET })).toEqual(refused('EFAULT'));
  expect((await readOnly(b, IOMMU_VFIO_IOAS, { op: SET, ioas_id })).errno).toBeUndefined();
  expect((await readOnly(b, IOMMU_VFIO_IOAS, { op: CLEAR })).errno).toBeUndefined();
});
