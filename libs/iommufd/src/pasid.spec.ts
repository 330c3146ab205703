import {
  type Errno,
  IOMMU_DESTROY,
  IOMMU_HWPT_ALLOC,
  iommu_test_mock_domain_replace,
  IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE,
  IOMMU_TEST_OP_PASID_ATTACH,
  IOMMU_TEST_OP_PASID_CHECK_HWPT,
  IOMMU_TEST_OP_PASID_DETACH,
  IOMMU_TEST_OP_PASID_REPLACE,
  iommu_test_pasid_attach,
  iommu_test_pasid_check,
  iommu_test_pasid_detach,
  iommu_test_pasid_replace,
} from '@vfiolab/uapi';
import { MockBench } from './testing/mock-bench.js';

const [DEVICE_PASID, HWPT_PASID] = [4, 8];

async function setup(dev_flags = DEVICE_PASID) {
  const b = await MockBench.boot('7.2');
  const ioas = await b.ioas();
  const { object, device } = await b.mock(ioas, dev_flags);
  const [one, two] = [await b.hwpt(device, ioas, HWPT_PASID), await b.hwpt(device, ioas, HWPT_PASID)];
  const plain = await b.hwpt(device, ioas);
  const replaceRid = async (pt_id: number): Promise<Errno | undefined> =>
    (await b.op(IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE, iommu_test_mock_domain_replace, object, { pt_id })).errno;
  const attach = async (pasid: number, pt_id: number): Promise<Errno | undefined> =>
    (await b.op(IOMMU_TEST_OP_PASID_ATTACH, iommu_test_pasid_attach, object, { pasid, pt_id })).errno;
  const replace = async (pasid: number, pt_id: number): Promise<Errno | undefined> =>
    (await b.op(IOMMU_TEST_OP_PASID_REPLACE, iommu_test_pasid_replace, object, { pasid, pt_id })).errno;
  const detach = async (pasid: number): Promise<Errno | undefined> =>
    (await b.op(IOMMU_TEST_OP_PASID_DETACH, iommu_test_pasid_detach, object, { pasid })).errno;
  const on = async (pasid: number, hwpt_id: number): Promise<Errno | undefined> =>
    (await b.op(IOMMU_TEST_OP_PASID_CHECK_HWPT, iommu_test_pasid_check, object, { pasid, hwpt_id })).errno;
  const destroy = (id: number) => b.errno(IOMMU_DESTROY, { id });
  return { b, ioas, object, device, one, two, plain, replaceRid, attach, replace, detach, on, destroy };
}

it('a PASID is attached, moved and detached; it holds its HWPT (c010)', async () => {
  const s = await setup();
  await s.replaceRid(s.one);
  expect(await s.attach(100, s.one)).toBeUndefined();
  expect(await s.attach(100, s.one)).toBe('EBUSY');
  expect([await s.on(100, s.one), await s.on(100, s.two), await s.on(100, 0)]).toEqual([undefined, 'EINVAL', 'EINVAL']);
  expect(await s.replace(100, s.two)).toBeUndefined();
  expect(await s.on(100, s.two)).toBeUndefined();
  expect(await s.destroy(s.two)).toBe('EBUSY');
  expect(await s.b.reread()).toBe(true);
  expect([await s.detach(100), await s.detach(100), await s.on(100, 0)]).toEqual([undefined, undefined, undefined]);
  expect(await s.replace(100, s.two)).toBe('EINVAL');
  expect(await s.destroy(s.two)).toBeUndefined();
  expect(await s.b.afterExit()).toEqual([]);
});

it('a PASID and the RID both need the PASID flag, in either order (c012)', async () => {
  const s = await setup();
  expect(await s.attach(100, s.one)).toBe('EINVAL');
  await s.replaceRid(s.one);
  expect(await s.attach(100, s.plain)).toBe('EINVAL');
  expect(await s.attach(100, s.ioas)).toBe('EINVAL');
  expect(await s.attach(100, s.one)).toBeUndefined();
  expect(await s.replaceRid(s.plain)).toBe('EINVAL');
  expect(await s.replaceRid(s.ioas)).toBe('EINVAL');
  await s.detach(100);
  expect(await s.replaceRid(s.plain)).toBeUndefined();
  expect(s.b.host.broken()).toEqual([]);
});

it('PASIDs are 20 bits wide, and only of devices that have them', async () => {
  const s = await setup();
  await s.replaceRid(s.one);
  expect([await s.attach(0xfffff, s.one), await s.attach(0x100000, s.one)]).toEqual([undefined, 'EINVAL']);
  const without = await setup(0);
  await without.replaceRid(without.one);
  expect(await without.attach(1, without.one)).toBe('EINVAL');
});

it('a move that fails in the driver leaves the old attachment (PASID 1024)', async () => {
  const s = await setup();
  await s.replaceRid(s.one);
  expect(await s.attach(1024, s.one)).toBeUndefined();
  expect(await s.replace(1024, s.two)).toBe('ENOMEM');
  expect(await s.on(1024, s.one)).toBeUndefined();
  expect(await s.replace(1024, s.two)).toBeUndefined();
  expect(s.b.host.broken()).toEqual([]);
});

it('a device that goes takes its PASIDs along', async () => {
  const s = await setup();
  await s.replaceRid(s.one);
  await s.attach(7, s.two);
  expect(await s.destroy(s.object)).toBeUndefined();
  expect(await s.destroy(s.two)).toBeUndefined();
  expect(s.b.host.broken()).toEqual([]);
});

it.each([
  ['an unknown flag', { flags: 16 }, 'EOPNOTSUPP'],
  [
    'a table that the driver lacks',
    { data_type: 0xdead, data_len: 8, data_uptr: Uint8Array.of(0, 0, 0, 0, 2, 0, 0, 0) },
    'EOPNOTSUPP',
  ],
  ['data that is too short', { data_type: 0xdead, data_len: 3, data_uptr: new Uint8Array(3) }, 'EINVAL'],
  ['data that is not there', { data_type: 0xdead, data_len: 8, data_uptr: 0x1000n }, 'EFAULT'],
  [
    'the table of whole pages',
    { data_type: 0xdead, data_len: 8, data_uptr: Uint8Array.of(0, 0, 0, 0, 1, 0, 0, 0) },
    undefined,
  ],
] as const)('a paging HWPT since 7.2: %s (c021)', async (_why, fields, errno) => {
  const s = await setup();
  expect(await s.b.errno(IOMMU_HWPT_ALLOC, { dev_id: s.device, pt_id: s.ioas, ...fields })).toBe(errno);
});
