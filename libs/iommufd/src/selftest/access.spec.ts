import {
  type Errno,
  IOMMU_DESTROY,
  IOMMU_IOAS_UNMAP,
  iommu_test_access_pages,
  iommu_test_access_replace_ioas,
  iommu_test_access_rw,
  iommu_test_check_map,
  iommu_test_check_refs,
  iommu_test_create_access,
  iommu_test_destroy_access_pages,
  IOMMU_TEST_OP_ACCESS_PAGES,
  IOMMU_TEST_OP_ACCESS_REPLACE_IOAS,
  IOMMU_TEST_OP_ACCESS_RW,
  IOMMU_TEST_OP_CREATE_ACCESS,
  IOMMU_TEST_OP_DESTROY_ACCESS_PAGES,
  IOMMU_TEST_OP_MD_CHECK_MAP,
  IOMMU_TEST_OP_MD_CHECK_REFS,
} from '@vfiolab/uapi';
import { IOMMUFD, iommufdApi } from '@vfiolab/core';
import { APERTURE, MockBench } from '../testing/mock-bench.js';

const WRITE = 1;
const SLOW = 4;

interface Setup {
  readonly b: MockBench;
  readonly ioas: number;
  readonly va: bigint;
  readonly access: number;
}

/** 16 KiB mapped at the aperture's start, and an access that pins. */
async function setup(flags = 1, mapFlags = 7): Promise<Setup> {
  const b = await MockBench.boot();
  const ioas = await b.ioas();
  const va = await b.memory(65536);
  await b.map(ioas, APERTURE, 16384n, va, mapFlags);
  const made = await b.op(IOMMU_TEST_OP_CREATE_ACCESS, iommu_test_create_access, ioas, { flags });
  return { b, ioas, va, access: made.arm.out_access_fd };
}

const pin = ({ b, access, va }: Setup, iova = APERTURE, length = 8192n, fields = {}) =>
  b.op(IOMMU_TEST_OP_ACCESS_PAGES, iommu_test_access_pages, access, {
    iova,
    length,
    uptr: va + (iova - APERTURE),
    ...fields,
  });

const refs = async ({ b, va }: Setup, n: number): Promise<Errno | undefined> =>
  (await b.op(IOMMU_TEST_OP_MD_CHECK_REFS, iommu_test_check_refs, 0, { uptr: va, length: 4096n, refs: n })).errno;

it.each([
  ['an unknown flag', 'ioas', 2, 'EOPNOTSUPP'],
  ['an IOAS that does not exist', 99, 0, 'ENOENT'],
] as const)('CREATE_ACCESS: %s', async (_why, id, flags, errno) => {
  const { b, ioas } = await setup();
  const made = await b.op(IOMMU_TEST_OP_CREATE_ACCESS, iommu_test_create_access, id === 'ioas' ? ioas : id, { flags });
  expect(made.errno).toBe(errno);
  expect(b.host.broken()).toEqual([]);
});

it('an access that pins wants whole pages: EADDRINUSE over an area that is not on one, and the id is free again', async () => {
  const b = await MockBench.boot();
  const ioas = await b.ioas();
  await b.map(ioas, APERTURE, 100n, await b.memory(4096));
  expect((await b.op(IOMMU_TEST_OP_CREATE_ACCESS, iommu_test_create_access, ioas, { flags: 1 })).errno).toBe(
    'EADDRINUSE',
  );
  expect(await b.ioas()).toBe(2);
});

it.each([
  ['whole pages', {}, undefined],
  ['an unknown flag', { flags: 2 }, 'EOPNOTSUPP'],
  ['more than 16 MiB', { length: 0x1000001n }, 'ENOMEM'],
  ['no length', { length: 0n }, 'EINVAL'],
  ['a range that wraps', { iova: 0xfffffffffffff000n, length: 8192n }, 'EOVERFLOW'],
  ['a hole', { iova: 0x9000000n, length: 4096n }, 'ENOENT'],
  ['a hole behind the area', { length: 0x5000n }, 'ENOENT'],
  ['half a page', { iova: APERTURE + 2048n, length: 2048n }, 'EINVAL'],
  ['other pages behind uptr', { uptr: 0n - 1n }, 'EBADE'],
  ['no page behind uptr', { uptr: 0x1000n }, 'EFAULT'],
] as const)('ACCESS_PAGES: %s', async (_why, fields, errno) => {
  const s = await setup();
  const wrong = 'uptr' in fields && fields.uptr < 0n ? { ...fields, uptr: s.va + 0x8000n } : fields;
  expect((await pin(s, APERTURE, 8192n, wrong)).errno).toBe(errno);
  expect(await s.b.pinnedKb()).toBe(errno ? 0 : 8);
  expect(s.b.host.broken()).toEqual([]);
});

it('a read-only area cannot be pinned for writing, a file that is no access is EBADFD, an access that copies EOPNOTSUPP', async () => {
  const readOnly = await setup(1, 5);
  expect((await pin(readOnly, APERTURE, 4096n, { flags: WRITE })).errno).toBe('EPERM');
  expect((await pin({ ...readOnly, access: readOnly.b.fd })).errno).toBe('EBADFD');
  expect((await pin(await setup(0))).errno).toBe('EOPNOTSUPP');
});

it('pins are shared, counted once, and go with UNMAP, which tells the access first (a055)', async () => {
  const s = await setup();
  const [one, two] = [await pin(s), await pin(s, APERTURE, 4096n)];
  expect([one.arm.out_access_pages_id, two.arm.out_access_pages_id]).toEqual([0, 1]);
  expect(await s.b.pinnedKb()).toBe(8);
  expect([await refs(s, 1), await refs(s, 2)]).toEqual([undefined, 'EIO']);
  expect(await s.b.reread()).toBe(true);
  expect(await s.b.errno(IOMMU_IOAS_UNMAP, { ioas_id: s.ioas, iova: APERTURE, length: 16384n })).toBeUndefined();
  expect(await s.b.pinnedKb()).toBe(0);
  const drop = (access_pages_id: number) =>
    s.b.op(IOMMU_TEST_OP_DESTROY_ACCESS_PAGES, iommu_test_destroy_access_pages, s.access, { access_pages_id });
  expect((await drop(0)).errno).toBe('ENOENT');
  expect(s.b.host.broken()).toEqual([]);
});

it('an item can be given back; the rest goes with the file, also after /dev/iommu is closed', async () => {
  const s = await setup();
  await pin(s);
  const item = await pin(s, APERTURE + 8192n, 8192n);
  const id = item.arm.out_access_pages_id;
  await s.b.op(IOMMU_TEST_OP_DESTROY_ACCESS_PAGES, iommu_test_destroy_access_pages, s.access, { access_pages_id: id });
  expect(await s.b.pinnedKb()).toBe(8);
  await s.b.must(s.b.p.close(s.b.fd));
  expect(await s.b.pinnedKb()).toBe(8);
  await s.b.must(s.b.p.close(s.access));
  expect(await s.b.pinnedKb()).toBe(0);
  expect(await s.b.afterExit()).toEqual([]);
});

it('an access moves to another IOAS and lets go of its pins; without one it is ENOENT', async () => {
  const s = await setup();
  await pin(s);
  const other = await s.b.ioas();
  const move = (ioas_id: number) =>
    s.b.op(IOMMU_TEST_OP_ACCESS_REPLACE_IOAS, iommu_test_access_replace_ioas, s.access, { ioas_id });
  expect((await move(99)).errno).toBe('ENOENT');
  expect(await s.b.errno(IOMMU_DESTROY, { id: s.ioas })).toBe('EBUSY');
  expect((await move(other)).errno).toBeUndefined();
  expect(await s.b.pinnedKb()).toBe(0);
  expect(await s.b.errno(IOMMU_DESTROY, { id: s.ioas })).toBeUndefined();
  expect(await s.b.errno(IOMMU_DESTROY, { id: other })).toBe('EBUSY');
  expect(s.b.host.broken()).toEqual([]);
});

describe('ACCESS_RW', () => {
  const rw = (s: Setup, fields: Partial<Record<'iova' | 'length' | 'uptr', bigint>> & { flags?: number }) =>
    s.b.op(IOMMU_TEST_OP_ACCESS_RW, iommu_test_access_rw, s.access, {
      iova: APERTURE,
      length: 4n,
      uptr: s.va + 0x8000n,
      ...fields,
    });

  it.each([
    ['no length', { length: 0n }, 'EINVAL'],
    ['an unknown flag', { flags: 2 }, 'EOPNOTSUPP'],
    ['a hole', { iova: 0x9000000n }, 'ENOENT'],
    ['over the end of what is mapped', { iova: APERTURE + 16382n }, 'ENOENT'],
    ['a range that wraps', { iova: 0xffffffffffffffffn }, 'EOVERFLOW'],
    ['a buffer that is not there', { uptr: 0x1000n }, 'EFAULT'],
  ] as const)('%s', async (_why, fields, errno) => {
    expect((await rw(await setup(0), fields)).errno).toBe(errno);
  });

  it.each([
    ['through the address space', 0],
    ['through the pages', SLOW],
  ])('bytes go both ways, over a page boundary: %s', async (_way, slow) => {
    const s = await setup(0);
    const text = new TextEncoder().encode('eight by');
    await s.b.must(s.b.p.write(Number(s.va) + 0x8000, text));
    const where = { iova: APERTURE + 4092n, length: 8n };
    expect((await rw(s, { ...where, flags: WRITE | slow })).errno).toBeUndefined();
    expect(await s.b.must(s.b.p.read(Number(s.va) + 4092, 8))).toEqual(text);
    expect((await rw(s, { ...where, uptr: s.va + 0x9000n, flags: slow })).errno).toBeUndefined();
    expect(await s.b.must(s.b.p.read(Number(s.va) + 0x9000, 8))).toEqual(text);
  });

  it('a read-only area takes no bytes', async () => {
    expect((await rw(await setup(0, 5), { flags: WRITE })).errno).toBe('EPERM');
  });
});

it('CHECK_MAP sees the IOPTEs: the mapped pages and no others, in half pages', async () => {
  const { b, ioas, va } = await setup();
  const { hwpt } = await b.mock(ioas);
  const check = async (id: number, iova: bigint, uptr: bigint, length = 4096n) =>
    (await b.op(IOMMU_TEST_OP_MD_CHECK_MAP, iommu_test_check_map, id, { iova, uptr, length })).errno;
  expect(await check(hwpt, APERTURE, va, 16384n)).toBeUndefined();
  expect(await check(hwpt, APERTURE + 2048n, va + 2048n, 2048n)).toBeUndefined();
  expect(await check(hwpt, APERTURE, va + 4096n)).toBe('EINVAL');
  expect(await check(hwpt, APERTURE + 0x8000n, va + 0x8000n)).toBe('EINVAL');
  expect(await check(hwpt, APERTURE + 1n, va)).toBe('EINVAL');
  expect(await check(hwpt, APERTURE, 0x1000n)).toBe('EFAULT');
  expect(await check(ioas, APERTURE, va)).toBe('ENOENT');
});

describe('a driver that does not listen', () => {
  const deafen = async ({ b }: Setup, fd: number) => {
    const made = await b.run(b.p.link.call(IOMMUFD, iommufdApi.deafen, { token: b.p.fileOf(fd).token }));
    return made.ok ? undefined : made.errno;
  };

  it('keeps what it pinned: UNMAP is EDEADLK until it lets go; the state survives a restart', async () => {
    const s = await setup();
    expect(await deafen(s, s.access)).toBeUndefined();
    const { arm } = await pin(s);
    const unmap = { ioas_id: s.ioas, iova: APERTURE, length: 16384n };
    expect(await s.b.errno(IOMMU_IOAS_UNMAP, unmap)).toBe('EDEADLK');
    expect((await pin(s)).errno).toBe('EINVAL');
    expect(await refs(s, 1)).toBeUndefined();
    expect(await s.b.reread()).toBe(true);
    const drop = { access_pages_id: arm.out_access_pages_id };
    await s.b.op(IOMMU_TEST_OP_DESTROY_ACCESS_PAGES, iommu_test_destroy_access_pages, s.access, drop);
    expect(await s.b.errno(IOMMU_IOAS_UNMAP, unmap)).toBeUndefined();
    expect(await s.b.afterExit()).toEqual([]);
  });

  it('closed, it lets go like any other', async () => {
    const s = await setup();
    await deafen(s, s.access);
    await pin(s);
    await s.b.must(s.b.p.close(s.access));
    expect(await refs(s, 0)).toBeUndefined();
    expect(await s.b.afterExit()).toEqual([]);
  });

  it('is a file of an access: EINVAL, EBADF', async () => {
    const s = await setup();
    expect(await deafen(s, s.b.fd)).toBe('EINVAL');
    const made = await s.b.run(s.b.p.link.call(IOMMUFD, iommufdApi.deafen, { token: '0'.repeat(8) }));
    expect(made).toEqual({ ok: false, errno: 'EBADF' });
  });
});
