import {
  IOMMU_DESTROY,
  IOMMU_IOAS_IOVA_RANGES,
  iommu_test_add_reserved,
  IOMMU_TEST_CMD,
  iommu_test_memory_limit,
  iommu_test_mock_domain,
  iommu_test_mock_domain_flags,
  iommu_test_mock_domain_replace,
  IOMMU_TEST_OP_ADD_RESERVED,
  IOMMU_TEST_OP_MOCK_DOMAIN,
  IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS,
  IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE,
  IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT,
} from '@vfiolab/uapi';
import { APERTURE, MockBench } from '../testing/mock-bench.js';

const U64_MAX = 0xffff_ffff_ffff_ffffn;

it('a mock device takes three ids in the order object, device, HWPT (SURPRISES 1)', async () => {
  const b = await MockBench.boot();
  const ioas = await b.ioas();
  expect(await b.mock(ioas)).toEqual({ object: 2, device: 3, hwpt: 4 });
  expect(await b.afterExit()).toEqual([]);
});

it('where an IOMMU is active there is no mock device, and nothing is left of the attempt (SURPRISES 49)', async () => {
  const b = await MockBench.boot('6.12', undefined, 'intel-vtd');
  const ioas = await b.ioas();
  expect((await b.op(IOMMU_TEST_OP_MOCK_DOMAIN, iommu_test_mock_domain, ioas)).errno).toBe('EINVAL');
  expect(await b.ioas()).toBe(2);
});

it.each([
  ['a table that does not exist', 99, 0, 'ENOENT'],
  ['an unknown flag of the device', 1, 8, 'EINVAL'],
  ['PASIDs, which come later', 1, 4, 'EINVAL'],
] as const)('%s', async (_why, pt, dev_flags, errno) => {
  const b = await MockBench.boot();
  await b.ioas();
  const made = await b.op(IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS, iommu_test_mock_domain_flags, pt, { dev_flags });
  expect(made.errno).toBe(errno);
  expect(await b.ioas()).toBe(2);
  expect(b.host.broken()).toEqual([]);
});

it('the aperture and half pages narrow the IOAS while the device is attached (a049)', async () => {
  const b = await MockBench.boot();
  const ioas_id = await b.ioas();
  const { object } = await b.mock(ioas_id);
  const ranges = async () => {
    const room = new Uint8Array(16);
    const { out } = await b.ioctl(IOMMU_IOAS_IOVA_RANGES, { ioas_id, num_iovas: 1, allowed_iovas: room });
    const view = new DataView(room.buffer);
    return [view.getBigUint64(0, true), view.getBigUint64(8, true), out.out_iova_alignment];
  };
  expect(await ranges()).toEqual([APERTURE, 0x7fffffffn, 0x800n]);
  expect(await b.errno(IOMMU_DESTROY, { id: object })).toBeUndefined();
  expect(await ranges()).toEqual([0n, U64_MAX, 1n]);
});

it('a replace that fails keeps the old table; one that works lets the auto HWPT go (a032)', async () => {
  const b = await MockBench.boot();
  const [here, there, bad] = [await b.ioas(), await b.ioas(), await b.ioas()];
  const { object, hwpt } = await b.mock(here);
  await b.map(bad, 0x1000n, 4096n, await b.memory(4096));
  const replace = (pt_id: number, id = object) =>
    b.op(IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE, iommu_test_mock_domain_replace, id, { pt_id });
  expect((await replace(bad)).errno).toBe('EADDRINUSE');
  expect((await replace(99)).errno).toBe('ENOENT');
  expect((await replace(there, here)).errno).toBe('ENOENT');
  expect((await replace(here)).arm.pt_id).toBe(hwpt);
  const moved = await replace(there);
  expect(moved.errno).toBeUndefined();
  expect(await b.errno(IOMMU_DESTROY, { id: hwpt })).toBe('ENOENT');
  expect(await b.reread()).toBe(true);
  expect(await b.afterExit()).toEqual([]);
});

it('naming the id that the new device gets is refused, and the device is gone again', async () => {
  const b = await MockBench.boot();
  await b.ioas();
  expect((await b.op(IOMMU_TEST_OP_MOCK_DOMAIN, iommu_test_mock_domain, 3)).errno).toBe('EINVAL');
  expect(await b.ioas()).toBe(2);
  expect(b.host.broken()).toEqual([]);
});

it.each([
  ['no length', 0x1000n, 0n, 'EINVAL'],
  ['a range that wraps', U64_MAX - 4095n, 8192n, 'EOVERFLOW'],
  ['over an area', 0x10000n, 4096n, 'EADDRINUSE'],
  ['twice the same range', 0x1000n, 4096n, undefined],
] as const)('ADD_RESERVED: %s', async (_why, start, length, errno) => {
  const b = await MockBench.boot();
  const ioas = await b.ioas();
  await b.map(ioas, 0x10000n, 4096n, await b.memory(4096));
  const reserve = () => b.op(IOMMU_TEST_OP_ADD_RESERVED, iommu_test_add_reserved, ioas, { start, length });
  expect((await reserve()).errno).toBe(errno);
  expect((await reserve()).errno).toBe(errno);
});

it.each([
  ['an unknown op', 99, 'EOPNOTSUPP'],
  ['an op of a later kernel', 18, 'EOPNOTSUPP'],
] as const)('%s', async (_why, op, errno) => {
  const b = await MockBench.boot();
  expect(await b.errno(IOMMU_TEST_CMD, { op })).toBe(errno);
});

it('a batch is at least 12 bytes', async () => {
  const b = await MockBench.boot();
  const limit = (n: number) => b.op(IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT, iommu_test_memory_limit, 0, { limit: n });
  expect([(await limit(11)).errno, (await limit(12)).errno]).toEqual(['EINVAL', undefined]);
});
