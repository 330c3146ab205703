import {
  encode,
  type Errno,
  IOMMU_IOAS_CHANGE_PROCESS,
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_MAP_FILE,
  IOMMU_IOAS_UNMAP,
  iommu_test_access_pages,
  iommu_test_access_rw,
  IOMMU_TEST_CMD,
  iommu_test_create_access,
  iommu_test_dmabuf_revoke,
  IOMMU_TEST_OP_ACCESS_PAGES,
  IOMMU_TEST_OP_ACCESS_RW,
  IOMMU_TEST_OP_CREATE_ACCESS,
  IOMMU_TEST_OP_DMABUF_GET,
  IOMMU_TEST_OP_DMABUF_REVOKE,
} from '@vfiolab/uapi';
import { ALONE, bench } from '../testing/bench.js';
import { APERTURE, MockBench } from '../testing/mock-bench.js';

const RW = 7;
const U64_MAX = 0xffff_ffff_ffff_ffffn;
const LENGTH = 16384;
/** PTEs of a mock domain that LENGTH bytes take. */
const PTES = LENGTH / 2048;

interface Setup {
  readonly b: MockBench;
  readonly ioas: number;
  /** A dma-buf of LENGTH bytes. */
  readonly fd: number;
}

async function setup(): Promise<Setup> {
  const b = await MockBench.boot('7.2');
  return { b, ioas: await b.ioas(), fd: (await b.dmabuf(LENGTH)) as number };
}

const mapping = ({ ioas, fd }: Setup, iova: bigint, start = 0n, length = BigInt(LENGTH)) => ({
  flags: RW,
  ioas_id: ioas,
  fd,
  start,
  length,
  iova,
});
const map = (s: Setup, iova: bigint, start = 0n, length = BigInt(LENGTH)): Promise<Errno | undefined> =>
  s.b.errno(IOMMU_IOAS_MAP_FILE, mapping(s, iova, start, length));

const revoke = async ({ b, fd }: Setup, revoked = 1): Promise<Errno | undefined> =>
  (await b.op(IOMMU_TEST_OP_DMABUF_REVOKE, iommu_test_dmabuf_revoke, 0, { dmabuf_fd: fd, revoked })).errno;

const ptes = ({ b }: Setup): number => b.host.figures('iommu')['mappedPages']!;

it.each<[string, number, Errno | undefined]>([
  ['nothing', 0, 'EINVAL'],
  ['a byte, which is a page', 1, undefined],
  ['512 pages', 512 * 4096, undefined],
  ['a byte more than 512 pages', 512 * 4096 + 1, 'EINVAL'],
  ['the most that can be asked for', 0xffff_ffff, 'EINVAL'],
])('DMABUF_GET of %s', async (_what, length, errno) => {
  const b = await MockBench.boot('7.2');
  const fd = await b.dmabuf(length);
  expect(errno === undefined ? typeof fd : fd).toBe(errno ?? 'number');
  expect(b.host.figures('iommufd')['dmabufs']).toBe(errno ? 0 : 1);
  expect(await b.afterExit()).toEqual([]);
});

it.each([IOMMU_TEST_OP_DMABUF_GET, IOMMU_TEST_OP_DMABUF_REVOKE])('the kernel of 6.12 has no op %i', async (op) => {
  const b = await MockBench.boot();
  expect((await b.op(op, iommu_test_dmabuf_revoke, 0)).errno).toBe('EOPNOTSUPP');
});

it.each<[string, (s: Setup) => number | Promise<number>, Errno]>([
  ['an fd that is not open', () => 99, 'EBADF'],
  ['-1', () => -1, 'EBADF'],
  ['/dev/iommu', ({ b }) => b.fd, 'EINVAL'],
  ['a memfd', ({ b }) => b.must(b.p.memfds.create(0)), 'EINVAL'],
])('DMABUF_REVOKE of %s', async (_what, fdOf, errno) => {
  const s = await setup();
  expect(await revoke({ ...s, fd: await fdOf(s) })).toBe(errno);
});

it.each<[string, bigint, bigint, Errno | undefined]>([
  ['its second half', 8192n, 8192n, undefined],
  ['more than it has', 0n, BigInt(LENGTH) + 4096n, 'EINVAL'],
  ['what lies behind it', BigInt(LENGTH), 4096n, 'EINVAL'],
  ['a start from which the length wraps', 0xffff_ffff_ffff_f000n, 4096n, 'EINVAL'],
  ['a start that is not on half a page', 2049n, 2048n, 'EINVAL'],
  ['no length', 0n, 0n, 'EINVAL'],
])('MAP_FILE of %s (c070)', async (_what, start, length, errno) => {
  const s = await setup();
  await s.b.mock(s.ioas);
  expect(await map(s, APERTURE, start, length)).toBe(errno);
  expect(ptes(s)).toBe(errno ? 0 : Number(length) / 2048);
  expect(await s.b.afterExit()).toEqual([]);
});

it('mapped memory is in the domains, pinned nowhere and charged to nobody (B8.2)', async () => {
  const s = await setup();
  await s.b.mock(s.ioas);
  expect(await map(s, APERTURE)).toBeUndefined();
  expect(ptes(s)).toBe(PTES);
  expect(s.b.host.figures('pages')).toMatchObject({ pins: 0, stores: 0 });
  expect(await s.b.pinnedKb()).toBe(0);
});

it('a domain that comes later is filled too, and its PTEs go with it (c073)', async () => {
  const s = await setup();
  await map(s, APERTURE);
  const { device } = await s.b.mock(s.ioas);
  expect(ptes(s)).toBe(PTES);
  await s.b.hwpt(device, s.ioas);
  expect(ptes(s)).toBe(2 * PTES);
  expect(await s.b.afterExit()).toEqual([]);
});

it('revoking clears every domain of every IOAS; nothing brings the memory back but a new map (c071)', async () => {
  const s = await setup();
  const other = await s.b.ioas();
  const { device } = await s.b.mock(s.ioas);
  await s.b.mock(other);
  await map(s, APERTURE);
  const copy = { flags: RW, src_ioas_id: s.ioas, dst_ioas_id: other, length: BigInt(LENGTH) };
  await s.b.ioctl(IOMMU_IOAS_COPY, { ...copy, src_iova: APERTURE, dst_iova: APERTURE });
  expect(ptes(s)).toBe(2 * PTES);
  expect(await revoke(s)).toBeUndefined();
  expect(ptes(s)).toBe(0);
  expect(await map(s, APERTURE + 0x100000n)).toBe('ENODEV');
  expect(await revoke(s, 0)).toBeUndefined();
  await s.b.hwpt(device, s.ioas);
  expect(ptes(s)).toBe(0);
  expect(await map(s, APERTURE + 0x100000n)).toBeUndefined();
  expect(ptes(s)).toBe(2 * PTES);
  expect(s.b.host.broken()).toEqual([]);
  expect(await s.b.afterExit()).toEqual([]);
});

it('a copy of a revoked store is as empty as the store', async () => {
  const s = await setup();
  await s.b.mock(s.ioas);
  await map(s, APERTURE);
  await revoke(s);
  const copy = { flags: RW, src_ioas_id: s.ioas, dst_ioas_id: s.ioas, length: BigInt(LENGTH) };
  const where = { src_iova: APERTURE, dst_iova: APERTURE + 0x100000n };
  expect(await s.b.errno(IOMMU_IOAS_COPY, { ...copy, ...where })).toBeUndefined();
  expect(ptes(s)).toBe(0);
  expect(s.b.host.broken()).toEqual([]);
  expect(await s.b.afterExit()).toEqual([]);
});

it.each(['map first', 'revoke first'])('a map and a revoke at the same time leave no PTE (%s)', async (order) => {
  const s = await setup();
  await s.b.mock(s.ioas);
  const u = new Uint8Array(48);
  u.set(encode(iommu_test_dmabuf_revoke, { dmabuf_fd: s.fd, revoked: 1 }));
  const mapIt = () => s.b.p.ioctl(s.b.fd, IOMMU_IOAS_MAP_FILE, mapping(s, APERTURE));
  const revokeIt = () => s.b.p.ioctl(s.b.fd, IOMMU_TEST_CMD, { op: IOMMU_TEST_OP_DMABUF_REVOKE, u });
  const both = order === 'map first' ? [mapIt(), revokeIt()] : [revokeIt(), mapIt()];
  const answers = await s.b.run(Promise.all(both));
  expect(answers.map(({ errno }) => errno).filter((errno) => errno !== undefined && errno !== 'ENODEV')).toEqual([]);
  expect(ptes(s)).toBe(0);
  expect(s.b.host.broken()).toEqual([]);
  expect(await s.b.afterExit()).toEqual([]);
});

it('outlives its fd while it is mapped', async () => {
  const s = await setup();
  await map(s, APERTURE);
  await s.b.must(s.b.p.close(s.fd));
  await s.b.mock(s.ioas);
  expect([ptes(s), s.b.host.figures('iommufd')['dmabufs']]).toEqual([PTES, 1]);
  await s.b.ioctl(IOMMU_IOAS_UNMAP, { ioas_id: s.ioas, iova: 0n, length: U64_MAX });
  expect([ptes(s), s.b.host.figures('iommufd')['dmabufs']]).toEqual([0, 0]);
});

it('does not keep the context alive that made it', async () => {
  const s = await setup();
  await map(s, APERTURE);
  await s.b.must(s.b.p.close(s.b.fd));
  expect(s.b.host.figures('iommufd')).toMatchObject({ contexts: 0, objects: 0, dmabufs: 1 });
  expect(await s.b.afterExit()).toEqual([]);
});

it('a map that finds no place leaves no store', async () => {
  const s = await setup();
  await map(s, APERTURE);
  expect(await map(s, APERTURE)).toBe('EEXIST');
  await s.b.ioctl(IOMMU_IOAS_UNMAP, { ioas_id: s.ioas, iova: 0n, length: U64_MAX });
  await s.b.must(s.b.p.close(s.fd));
  expect(s.b.host.figures('iommufd')['dmabufs']).toBe(0);
});

it('accesses do not reach it, and its maps do not change hands (c070)', async () => {
  const s = await setup();
  await map(s, APERTURE);
  const made = await s.b.op(IOMMU_TEST_OP_CREATE_ACCESS, iommu_test_create_access, s.ioas, { flags: 1 });
  const access = made.arm.out_access_fd;
  const uptr = await s.b.memory(4096);
  const range = { iova: APERTURE, length: 4096n, uptr };
  const pages = await s.b.op(IOMMU_TEST_OP_ACCESS_PAGES, iommu_test_access_pages, access, { ...range, flags: 0 });
  const bytes = await s.b.op(IOMMU_TEST_OP_ACCESS_RW, iommu_test_access_rw, access, { ...range, flags: 0 });
  expect([pages.errno, bytes.errno]).toEqual(['EINVAL', 'EINVAL']);
  expect(await s.b.errno(IOMMU_IOAS_CHANGE_PROCESS)).toBe('EINVAL');
});

it('files, stores and what is revoked come back from a snapshot', async () => {
  const s = await setup();
  await s.b.mock(s.ioas);
  await map(s, APERTURE);
  await revoke(s);
  await revoke(s, 0);
  await map(s, APERTURE + 0x100000n);
  expect(await s.b.reread()).toBe(true);
});

it('a real device cannot reach memory of the self-test: EOPNOTSUPP, and nothing stays', async () => {
  const b = await bench(undefined, 1 << 24, '7.2');
  const ioas_id = await b.ioas();
  const { dev } = await b.bind(ALONE);
  await b.attach(dev, ioas_id);
  const u = new Uint8Array(48);
  u[0] = 1;
  const { ret: fd } = await b.ioctl(IOMMU_TEST_CMD, { op: IOMMU_TEST_OP_DMABUF_GET, u });
  const fields = { flags: RW, ioas_id, fd, start: 0n, length: 4096n, iova: 0x10000n };
  expect(await b.errno(IOMMU_IOAS_MAP_FILE, fields)).toBe('EOPNOTSUPP');
  await b.close(fd);
  expect(b.host.figures('iommufd')['dmabufs']).toBe(0);
  expect(b.host.broken()).toEqual([]);
});
