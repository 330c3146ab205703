import { IOMMU_DESTROY, IOMMU_HWPT_ALLOC, iommu_test_check_iotlb, IOMMU_TEST_OP_MD_CHECK_IOTLB } from '@vfiolab/uapi';
import { MockBench } from '../testing/mock-bench.js';

const MOCK = 0xdead;
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
