import {
  IOMMU_DESTROY,
  IOMMU_GET_HW_INFO,
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_INVALIDATE,
  iommu_test_check_iotlb,
  IOMMU_TEST_OP_MD_CHECK_IOTLB,
} from '@vfiolab/uapi';
import { MockBench } from '../testing/mock-bench.js';

const MOCK = 0xdead;
const INVALIDATION = 0xdeadbeef;
const IOTLB = Uint8Array.of(0xef, 0xbe, 0xad, 0x0b);
const words = (...n: number[]): Uint8Array => new Uint8Array(Uint32Array.from(n).buffer);

async function setup() {
  const b = await MockBench.boot();
  const ioas = await b.ioas();
  const { device, hwpt: auto } = await b.mock(ioas);
  const parent = await b.hwpt(device, ioas, 1);
  const base = { dev_id: device, pt_id: parent, data_type: MOCK, data_len: 4, data_uptr: IOTLB };
  const slot = async (id: number, n: number, iotlb: number) =>
    (await b.op(IOMMU_TEST_OP_MD_CHECK_IOTLB, iommu_test_check_iotlb, id, { id: n, iotlb })).errno;
  return { b, ioas, device, auto, parent, base, slot };
}

it.each([
  ['no data', { data_type: 0, data_len: 0 }, 'EOPNOTSUPP'],
  ['data of another driver', { data_type: 1 }, 'EOPNOTSUPP'],
  ['data that is too short', { data_len: 3 }, 'EINVAL'],
  ['data that is longer than the struct, zero or not', { data_len: 8, data_uptr: words(1, 0) }, 'EINVAL'],
  ['data that is not there', { data_uptr: 0x1000n }, 'EFAULT'],
  ['a flag of a paging HWPT', { flags: 1 }, 'EOPNOTSUPP'],
  ['a parent that was made by attaching', { pt_id: 'auto' }, 'EINVAL'],
  ['an IOAS, which takes no data', { pt_id: 'ioas' }, 'EOPNOTSUPP'],
  ['a fault queue that does not exist, looked up last', { flags: 4, fault_id: 99 }, 'ENOENT'],
] as const)('%s (a026)', async (_why, fields, errno) => {
  const s = await setup();
  const pt_id = 'pt_id' in fields ? s[fields.pt_id] : s.parent;
  expect(await s.b.errno(IOMMU_HWPT_ALLOC, { ...s.base, ...fields, pt_id })).toBe(errno);
  expect(s.b.host.figures('iommu').domains).toBe(2);
  expect(s.b.host.broken()).toEqual([]);
});

it('a nested HWPT holds its parent, and is no parent itself', async () => {
  const { b, base, parent, slot } = await setup();
  const nested = (await b.ioctl(IOMMU_HWPT_ALLOC, base)).out.out_hwpt_id;
  expect(await slot(nested, 3, 0xbadbeef)).toBeUndefined();
  expect(await slot(nested, 4, 0xbadbeef)).toBe('EINVAL');
  expect(await slot(parent, 0, 0xbadbeef)).toBe('ENOENT');
  expect(await b.errno(IOMMU_HWPT_ALLOC, { ...base, pt_id: nested })).toBe('EINVAL');
  expect(await b.errno(IOMMU_DESTROY, { id: parent })).toBe('EBUSY');
  expect(await b.reread()).toBe(true);
  expect(await b.errno(IOMMU_DESTROY, { id: nested })).toBeUndefined();
  expect(await b.errno(IOMMU_DESTROY, { id: parent })).toBeUndefined();
  expect(await b.afterExit()).toEqual([]);
});

it.each([
  ['a probe', { entry_num: 0, data_uptr: 0n }, undefined, 0],
  ['another type', { data_type: 1 }, 'EINVAL', 0],
  ['a reserved field', { __reserved: 1 }, 'EOPNOTSUPP', 0],
  ['no pointer', { data_uptr: 0n }, 'EINVAL', 0],
  ['no entry length', { entry_len: 0 }, 'EINVAL', 0],
  ['entries over a page long', { entry_len: 4097 }, 'EINVAL', 0],
  ['more than 524288 entries', { entry_num: 524289 }, 'EINVAL', 0],
  ['an entry of another length', { entry_len: 4 }, 'EINVAL', 0],
  ['memory that is not there', { data_uptr: 0x1000n }, 'EFAULT', 0],
  ['a HWPT that does not exist', { hwpt_id: 99 }, 'ENOENT', 0],
  ['the second entry is bad', { entry_num: 3, data_uptr: words(0, 0, 0, 4, 0, 1) }, 'EINVAL', 1],
  ['the second entry has an unknown flag', { entry_num: 2, data_uptr: words(0, 0, 2, 0) }, 'EOPNOTSUPP', 1],
  ['memory ends behind the first entry', { entry_num: 2 }, 'EFAULT', 1],
] as const)('INVALIDATE says how far it came: %s (a027)', async (_why, fields, errno, entry_num) => {
  const { b, base } = await setup();
  const hwpt_id = (await b.ioctl(IOMMU_HWPT_ALLOC, base)).out.out_hwpt_id;
  const one = { hwpt_id, data_type: INVALIDATION, entry_len: 8, entry_num: 1, data_uptr: words(0, 0) };
  const answer = await b.ioctl(IOMMU_HWPT_INVALIDATE, { ...one, ...fields });
  expect([answer.errno, answer.out.entry_num]).toEqual([errno, entry_num]);
});

it('an invalidation clears one slot, or all; of another object it is ENOENT', async () => {
  const { b, base, parent, slot } = await setup();
  const hwpt_id = (await b.ioctl(IOMMU_HWPT_ALLOC, base)).out.out_hwpt_id;
  const invalidate = (data_uptr: Uint8Array, id = hwpt_id) =>
    b.errno(IOMMU_HWPT_INVALIDATE, { hwpt_id: id, data_type: INVALIDATION, entry_len: 8, entry_num: 1, data_uptr });
  await invalidate(words(0, 2));
  expect([await slot(hwpt_id, 2, 0), await slot(hwpt_id, 1, 0xbadbeef)]).toEqual([undefined, undefined]);
  await invalidate(words(1, 0));
  expect(await slot(hwpt_id, 1, 0)).toBeUndefined();
  expect(await invalidate(words(0, 0), parent)).toBe('ENOENT');
});

it.each([
  ['a flag', { flags: 1 }, 'EOPNOTSUPP', undefined],
  ['a device that does not exist', { dev_id: 99 }, 'ENOENT', undefined],
  ['a buffer that is not there', { data_uptr: 0x1000n }, 'EFAULT', undefined],
  ['a short buffer gets the beginning', { data_len: 4, data_uptr: 4 }, undefined, [0, 0, 0, 0]],
  [
    'a long one is filled up with zeros',
    { data_len: 10, data_uptr: 10 },
    undefined,
    [0, 0, 0, 0, 0xef, 0xbe, 0xad, 0xde, 0, 0],
  ],
] as const)('GET_HW_INFO: %s', async (_why, fields, errno, bytes) => {
  const { b, device } = await setup();
  const buffer = new Uint8Array(bytes?.length ?? 8).fill(0x5a);
  const data_uptr =
    typeof fields === 'object' && 'data_uptr' in fields && typeof fields.data_uptr === 'bigint'
      ? fields.data_uptr
      : buffer;
  const answer = await b.ioctl(IOMMU_GET_HW_INFO, { dev_id: device, data_len: 8, ...fields, data_uptr });
  expect(answer.errno).toBe(errno);
  if (bytes) expect([[...buffer], answer.out.data_len, answer.out.out_capabilities]).toEqual([bytes, 8, 1n]);
});
