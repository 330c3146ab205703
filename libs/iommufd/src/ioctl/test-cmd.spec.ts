import {
  type AnyStruct,
  encode,
  type Errno,
  IOMMU_FAULT_QUEUE_ALLOC,
  IOMMU_HWPT_ALLOC,
  iommu_test_access_pages,
  iommu_test_access_replace_ioas,
  iommu_test_access_rw,
  iommu_test_add_reserved,
  iommu_test_check_dev_cache,
  iommu_test_check_iotlb,
  iommu_test_check_map,
  iommu_test_check_refs,
  IOMMU_TEST_CMD,
  iommu_test_create_access,
  iommu_test_destroy_access_pages,
  iommu_test_dirty,
  iommu_test_dmabuf_get,
  iommu_test_dmabuf_revoke,
  iommu_test_memory_limit,
  iommu_test_mock_domain,
  iommu_test_mock_domain_flags,
  iommu_test_mock_domain_replace,
  iommu_test_pasid_attach,
  iommu_test_pasid_check,
  iommu_test_pasid_detach,
  iommu_test_pasid_replace,
  iommu_test_trigger_iopf,
  iommu_test_trigger_vevent,
  iommuTestArms,
  IOMMU_VDEVICE_ALLOC,
  IOMMU_VIOMMU_ALLOC,
} from '@vfiolab/uapi';
import { U64_MAX } from '../spans.js';
import { APERTURE, MockBench } from '../testing/mock-bench.js';
import { refusal, refused } from '../testing/refusal.js';

const SELFTEST = 0xdeadbeef;
const HALF = 2048n;
const PASID = 7;
const [PASIDS, NO_DIRTY] = [4, 1];

/** Every kind of object that an op can be about; 16 KiB are mapped in each IOAS. */
async function setup() {
  const b = await MockBench.boot('7.2');
  const [ioas, held] = [await b.ioas(), await b.ioas()];
  const va = await b.memory(65536);
  const other = await b.memory(65536);
  for (const at of [va, other]) await b.must(b.p.write(Number(at), new Uint8Array(65536)));
  for (const id of [ioas, held]) await b.map(id, APERTURE, 16384n, va);
  await b.map(held, APERTURE + 0x100000n, 4096n, va, 5);
  const { object, device, hwpt } = await b.mock(ioas, PASIDS);
  const parent = await b.hwpt(device, ioas, 1);
  const pasid = await b.hwpt(device, ioas, 8);
  const data = { data_type: 0xdead, data_len: 4, data_uptr: Uint8Array.of(1, 0, 0, 0) };
  const nested = (await b.ioctl(IOMMU_HWPT_ALLOC, { dev_id: device, pt_id: parent, ...data })).out.out_hwpt_id;
  const made = { type: SELFTEST, dev_id: device, hwpt_id: parent };
  const viommu_id = (await b.ioctl(IOMMU_VIOMMU_ALLOC, made)).out.out_viommu_id;
  await b.ioctl(IOMMU_VDEVICE_ALLOC, { viommu_id, dev_id: device, virt_id: 9n });
  const fault = (await b.ioctl(IOMMU_FAULT_QUEUE_ALLOC)).out.out_fault_id;
  const access = async (flags: number) => (await b.op(5, iommu_test_create_access, held, { flags })).arm.out_access_fd;
  const [pinning, copying] = [await access(1), await access(0)];
  const odd = await b.ioas();
  await b.map(odd, APERTURE, 100n, va);
  return { b, ioas, held, odd, object, device, hwpt, parent, pasid, nested, fault, pinning, copying, va, other };
}
type Setup = Awaited<ReturnType<typeof setup>>;
type Name = Exclude<keyof Setup, 'b' | 'va' | 'other'>;
type Arm = Record<string, unknown>;

/** Op, its arm, and lines: what is wrong, the id, what the arm has, the errno. Of two that hold at once, the first wins. */
const OPS: readonly [number, AnyStruct, ...[string, Name | number, Arm | ((s: Setup) => Arm), Errno][]][] = [
  [
    1,
    iommu_test_add_reserved,
    ['no length, before the IOAS', 99, { length: 0n }, 'EINVAL'],
    ['a range that wraps', 99, { start: U64_MAX, length: 2n }, 'EOVERFLOW'],
    ['no such IOAS', 99, { length: 1n }, 'ENOENT'],
    ['no IOAS', 'device', { length: 1n }, 'ENOENT'],
    ['over an area', 'ioas', { start: APERTURE, length: 1n }, 'EADDRINUSE'],
  ],
  [
    2,
    iommu_test_mock_domain,
    ['no such table', 99, {}, 'ENOENT'],
    ['an object that is no table', 'device', {}, 'EINVAL'],
    ['areas that the IOMMU cannot take', 'odd', {}, 'EADDRINUSE'],
  ],
  [
    12,
    iommu_test_mock_domain_flags,
    ['an unknown flag, before the table', 99, { dev_flags: 8 }, 'EINVAL'],
    ['no such table', 99, { dev_flags: NO_DIRTY }, 'ENOENT'],
  ],
  [
    3,
    iommu_test_check_map,
    ['no such HWPT', 99, { iova: 1n }, 'ENOENT'],
    ['an object that is no paging HWPT', 'nested', {}, 'ENOENT'],
    ['misaligned', 'hwpt', { iova: APERTURE + 1n, length: HALF }, 'EINVAL'],
    ['other pages', 'hwpt', (s) => ({ iova: APERTURE, length: 4096n, uptr: s.other }), 'EINVAL'],
    ['what is not mapped', 'hwpt', (s) => ({ iova: APERTURE + 0x10000n, length: HALF, uptr: s.va }), 'EINVAL'],
    ['memory that is not there', 'hwpt', { iova: APERTURE, length: HALF, uptr: 0x1000n }, 'EFAULT'],
  ],
  [
    4,
    iommu_test_check_refs,
    ['misaligned', 0, { length: 2048n }, 'EINVAL'],
    ['a range that wraps', 0, { length: 8192n, uptr: U64_MAX - 4095n }, 'EINVAL'],
    ['another count', 0, (s) => ({ length: 4096n, uptr: s.va, refs: 9 }), 'EIO'],
    ['memory that is not there', 0, { length: 4096n, uptr: 0x1000n }, 'EFAULT'],
  ],
  [
    5,
    iommu_test_create_access,
    ['a flag, before the IOAS', 99, { flags: 2 }, 'EOPNOTSUPP'],
    ['no such IOAS', 99, { flags: 1 }, 'ENOENT'],
    ['areas that are not on pages', 'odd', { flags: 1 }, 'EADDRINUSE'],
  ],
  [
    6,
    iommu_test_destroy_access_pages,
    ['an fd that is not open', 99, {}, 'EBADFD'],
    ['an fd of another kind', 0, {}, 'EBADFD'],
    ['no such item', 'pinning', { access_pages_id: 9 }, 'ENOENT'],
  ],
  [
    7,
    iommu_test_access_pages,
    ['more than 16 MiB, before the flags', 99, { length: (1n << 24n) + 1n, flags: 2 }, 'ENOMEM'],
    ['a flag, before the fd', 99, { flags: 2 }, 'EOPNOTSUPP'],
    ['an fd that is not open', 99, {}, 'EBADFD'],
    ['an access that does not pin', 'copying', {}, 'EOPNOTSUPP'],
    ['no length', 'pinning', { iova: APERTURE }, 'EINVAL'],
    ['a range that wraps', 'pinning', { iova: U64_MAX, length: 2n }, 'EOVERFLOW'],
    ['a hole', 'pinning', { iova: 0n, length: 4096n }, 'ENOENT'],
    ['misaligned', 'pinning', { iova: APERTURE + HALF, length: HALF }, 'EINVAL'],
    ['read-only, to write', 'pinning', { flags: 1, iova: APERTURE + 0x100000n, length: 4096n }, 'EPERM'],
    ['no page to compare', 'pinning', { iova: APERTURE, length: 4096n, uptr: 0x1000n }, 'EFAULT'],
  ],
  [
    8,
    iommu_test_access_rw,
    ['more than 16 MiB, before the flags', 99, { length: (1n << 24n) + 1n, flags: 2 }, 'ENOMEM'],
    ['a flag, before the fd', 99, { flags: 2 }, 'EOPNOTSUPP'],
    ['an fd that is not open', 99, {}, 'EBADFD'],
    ['memory that is not there', 'copying', { iova: APERTURE, length: 4n, uptr: 0x1000n }, 'EFAULT'],
    ['no length', 'copying', (s) => ({ iova: APERTURE, uptr: s.va }), 'EINVAL'],
    ['a range that wraps', 'copying', (s) => ({ iova: U64_MAX, length: 2n, uptr: s.va }), 'EOVERFLOW'],
    ['a hole', 'copying', (s) => ({ iova: 0n, length: 4n, uptr: s.va }), 'ENOENT'],
    [
      'read-only, to write',
      'copying',
      (s) => ({ flags: 1, iova: APERTURE + 0x100000n, length: 4n, uptr: s.va }),
      'EPERM',
    ],
  ],
  [9, iommu_test_memory_limit, ['under 12 bytes', 0, { limit: 11 }, 'EINVAL']],
  [
    10,
    iommu_test_mock_domain_replace,
    ['no such mock device', 99, { pt_id: 1 }, 'ENOENT'],
    ['an object that is no mock device', 'device', { pt_id: 1 }, 'ENOENT'],
    ['no such table', 'object', { pt_id: 99 }, 'ENOENT'],
    ['an object that is no table', 'object', (s) => ({ pt_id: s.device }), 'EINVAL'],
    ['areas that the IOMMU cannot take', 'object', (s) => ({ pt_id: s.odd }), 'EADDRINUSE'],
  ],
  [
    11,
    iommu_test_access_replace_ioas,
    ['an fd that is not open', 99, { ioas_id: 1 }, 'EBADFD'],
    ['no such IOAS', 'pinning', { ioas_id: 99 }, 'ENOENT'],
    ['areas that are not on pages', 'pinning', (s) => ({ ioas_id: s.odd }), 'EADDRINUSE'],
  ],
  [
    13,
    iommu_test_dirty,
    ['no page size, before the HWPT', 99, {}, 'EINVAL'],
    ['no length', 99, { page_size: HALF, uptr: 1n }, 'EINVAL'],
    ['no bitmap', 99, { page_size: HALF, length: HALF }, 'EINVAL'],
    ['more than 16 MiB of bits', 'hwpt', { page_size: HALF, length: 1n << 40n, uptr: 1n }, 'EOVERFLOW'],
    ['no such HWPT', 99, { page_size: HALF, length: HALF, uptr: 1n }, 'ENOENT'],
    ['tracking is off', 'hwpt', { page_size: HALF, length: HALF, uptr: 1n }, 'EINVAL'],
  ],
  [
    14,
    iommu_test_check_iotlb,
    ['no such HWPT', 99, {}, 'ENOENT'],
    ['a paging HWPT', 'parent', {}, 'ENOENT'],
    ['no such slot', 'nested', { id: 4, iotlb: 1 }, 'EINVAL'],
    ['another value', 'nested', { id: 0, iotlb: 2 }, 'EINVAL'],
  ],
  [
    15,
    iommu_test_trigger_iopf,
    ['no such device', 0, { dev_id: 99 }, 'ENOENT'],
    ['an object that is no device', 0, (s) => ({ dev_id: s.object }), 'ENOENT'],
  ],
  [
    16,
    iommu_test_check_dev_cache,
    ['no such device', 99, {}, 'ENOENT'],
    ['no such slot', 'device', { id: 4, cache: 0xbaddad }, 'EINVAL'],
    ['another value', 'device', { id: 0, cache: 1 }, 'EINVAL'],
  ],
  [
    17,
    iommu_test_trigger_vevent,
    ['no such device', 0, { dev_id: 99 }, 'ENOENT'],
    ['a device that is not attached through its vIOMMU', 0, (s) => ({ dev_id: s.device }), 'ENOENT'],
  ],
  [
    18,
    iommu_test_pasid_attach,
    ['no such mock device', 99, { pasid: PASID, pt_id: 1 }, 'ENOENT'],
    ['no such table', 'object', { pasid: PASID, pt_id: 99 }, 'ENOENT'],
    ['a HWPT that was not made for PASIDs', 'object', (s) => ({ pasid: PASID, pt_id: s.parent }), 'EINVAL'],
  ],
  [
    19,
    iommu_test_pasid_replace,
    ['no such mock device', 99, { pasid: PASID, pt_id: 1 }, 'ENOENT'],
    ['a PASID that is not attached', 'object', (s) => ({ pasid: PASID, pt_id: s.pasid }), 'EINVAL'],
  ],
  [20, iommu_test_pasid_detach, ['no such mock device', 99, { pasid: PASID }, 'ENOENT']],
  [
    21,
    iommu_test_pasid_check,
    ['no such mock device', 99, { pasid: PASID }, 'ENOENT'],
    ['no such HWPT', 'object', { pasid: PASID, hwpt_id: 99 }, 'ENOENT'],
    ['another HWPT', 'object', (s) => ({ pasid: PASID, hwpt_id: s.pasid }), 'EINVAL'],
  ],
  [
    22,
    iommu_test_dmabuf_get,
    ['no length', 0, { length: 0 }, 'EINVAL'],
    ['more than 512 pages', 0, { length: 512 * 4096 + 1 }, 'EINVAL'],
  ],
  [
    23,
    iommu_test_dmabuf_revoke,
    ['an fd that is not open', 0, { dmabuf_fd: 99 }, 'EBADF'],
    ['an fd of another kind', 0, (s) => ({ dmabuf_fd: s.b.fd }), 'EINVAL'],
  ],
];

const LINES = OPS.flatMap(([op, layout, ...lines]) =>
  lines.map(([why, id, arm, errno]) => ({ op, layout, why, id, arm, errno })),
);

it('every op has lines', () => {
  expect([...iommuTestArms.keys()].filter((op) => !OPS.some(([each]) => each === op))).toEqual([]);
});

it.each(LINES)('op $op: $why is $errno, and changes nothing', async ({ op, layout, id, arm, errno }) => {
  const s = await setup();
  const u = new Uint8Array(48);
  u.set(encode(layout, (typeof arm === 'function' ? arm(s) : arm) as never));
  const call = { op, id: typeof id === 'string' ? s[id] : id, u };
  expect(await refusal(s.b, IOMMU_TEST_CMD, call)).toEqual(refused(errno));
  expect(s.b.host.broken()).toEqual([]);
});

it('ACCESS_PAGES of other pages than those behind uptr is EBADE; the item gets a number all the same', async () => {
  const s = await setup();
  const arm = { iova: APERTURE, length: 4096n, uptr: s.other };
  expect((await s.b.op(7, iommu_test_access_pages, s.pinning, arm)).errno).toBe('EBADE');
});

it.each([0, 24, 0xffffffff])('op %i does not exist: EOPNOTSUPP', async (op) => {
  const { b } = await setup();
  expect(await refusal(b, IOMMU_TEST_CMD, { op, id: 99 })).toEqual(refused('EOPNOTSUPP'));
});

it.each([16, 17, 18, 19, 20, 21, 22, 23])('op %i came after 6.12: EOPNOTSUPP', async (op) => {
  const b = await MockBench.boot('6.12');
  expect(await refusal(b, IOMMU_TEST_CMD, { op })).toEqual(refused('EOPNOTSUPP'));
});
