import {
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_MAP_FILE,
  IOMMU_IOAS_UNMAP,
  iommu_test_dmabuf_revoke,
  iommu_test_mock_domain,
  IOMMU_TEST_OP_DMABUF_REVOKE,
  IOMMU_TEST_OP_MOCK_DOMAIN,
  type KernelProfile,
  UDMABUF_CREATE,
} from '@vfiolab/uapi';
import { F_SEAL_SHRINK, MFD_ALLOW_SEALING, PAGES, pagesApi } from '@vfiolab/core';
import { U64_MAX } from '../spans.js';
import { ALONE, bench, type Bench } from '../testing/bench.js';
import { APERTURE, MockBench } from '../testing/mock-bench.js';
import { readOnly, refusal, refused } from '../testing/refusal.js';

const RW = 7;

/** A program on a 7.2 host with a memfd of 64 KiB, and a mock device if asked. */
async function withFile(profile: KernelProfile = '7.2') {
  const b = await MockBench.boot(profile);
  const fd = await b.must(b.p.memfds.create(0));
  await b.must(b.p.memfds.truncate(fd, 65536));
  const ioas_id = await b.ioas();
  return { b, ioas_id, base: { flags: RW, ioas_id, fd, start: 0n, length: 4096n, iova: APERTURE } };
}

// In the kernel's order of checks (c061): each line breaks one rule, and a later one too where it can.
it.each([
  ['an unknown flag', { flags: 8 | RW, ioas_id: 99 }, 'EOPNOTSUPP'],
  ['the last IOVA there is', { iova: U64_MAX, ioas_id: 99 }, 'EOVERFLOW'],
  ['the longest length there is', { length: U64_MAX, ioas_id: 99 }, 'EOVERFLOW'],
  ['neither readable nor writeable', { flags: 1, ioas_id: 99 }, 'EINVAL'],
  ['an IOAS that does not exist', { ioas_id: 99, length: 0n, fd: 99 }, 'ENOENT'],
  ['no length, before the fd', { length: 0n, fd: 99 }, 'EINVAL'],
  ['a range of the file that wraps', { start: U64_MAX - 4095n, length: 8192n, fd: 99 }, 'EOVERFLOW'],
  ['an fd that is not open, before the place', { fd: 99, iova: APERTURE + 1n }, 'EBADF'],
  ['a range of IOVAs that wraps', { iova: U64_MAX - 4095n, length: 8192n }, 'EOVERFLOW'],
] as const)('%s', async (_why, fields, errno) => {
  const { b, base } = await withFile();
  expect(await refusal(b, IOMMU_IOAS_MAP_FILE, { ...base, ...fields })).toEqual(refused(errno));
});

// What the place and the pages say is as for MAP.
it.each([
  ['a place that is not on the alignment', { iova: APERTURE + 1n }, 'EINVAL'],
  ['a reserved range', { iova: 0n }, 'EINVAL'],
  ['an area', { iova: APERTURE + 65536n }, 'EEXIST'],
  ['pages behind the end of the file', { start: 65536n }, 'EINVAL'],
  ['a file that has no pages', { fd: 'iommufd' }, 'EINVAL'],
  ['no automatic place', { flags: RW & ~1, length: 1n << 31n }, 'ENOSPC'],
] as const)('with a domain, %s', async (_why, fields, errno) => {
  const { b, ioas_id, base } = await withFile();
  await b.mock(ioas_id);
  await b.map(ioas_id, APERTURE + 65536n, 4096n, await b.memory(4096));
  const fd = 'fd' in fields ? b.fd : base.fd;
  expect(await refusal(b, IOMMU_IOAS_MAP_FILE, { ...base, ...fields, fd })).toEqual(refused(errno));
});

it('a file that has no pages is met when a domain needs them', async () => {
  const { b, ioas_id, base } = await withFile();
  expect(await b.errno(IOMMU_IOAS_MAP_FILE, { ...base, fd: b.fd })).toBeUndefined();
  const made = await b.op(IOMMU_TEST_OP_MOCK_DOMAIN, iommu_test_mock_domain, ioas_id);
  expect(made.errno).toBe('EINVAL');
});

it.each(['ENOMEM', 'EFAULT'] as const)('pages of the file that cannot be had are %s', async (errno) => {
  const { b, ioas_id, base } = await withFile();
  await b.mock(ioas_id);
  const met = b.host.refuse(PAGES, pagesApi.storeCreateFile, { ok: false, errno });
  expect(await refusal(b, IOMMU_IOAS_MAP_FILE, base)).toEqual(refused(errno));
  expect(met()).toBe(true);
});

it.each([
  ['beyond its end', { length: 8192n }, 'EINVAL'],
  ['from behind its end', { start: 4096n }, 'EINVAL'],
  ['a range that wraps (c070)', { start: U64_MAX - 4095n, length: 8192n }, 'EINVAL'],
  ['nothing of it', { length: 0n }, 'EINVAL'],
  ['over an area', { iova: APERTURE + 65536n }, 'EEXIST'],
] as const)('a dma-buf, %s', async (_why, fields, errno) => {
  const { b, ioas_id, base } = await withFile();
  await b.map(ioas_id, APERTURE + 65536n, 4096n, await b.memory(4096));
  const fd = (await b.dmabuf(4096)) as number;
  expect(await refusal(b, IOMMU_IOAS_MAP_FILE, { ...base, fd, ...fields })).toEqual(refused(errno));
});

it('a dma-buf that was taken away is ENODEV until it is given back', async () => {
  const { b, base } = await withFile();
  const dmabuf_fd = (await b.dmabuf(4096)) as number;
  const revoke = (revoked: number) =>
    b.op(IOMMU_TEST_OP_DMABUF_REVOKE, iommu_test_dmabuf_revoke, 0, { dmabuf_fd, revoked });
  await revoke(1);
  expect(await refusal(b, IOMMU_IOAS_MAP_FILE, { ...base, fd: dmabuf_fd })).toEqual(refused('ENODEV'));
  await revoke(0);
  expect(await b.errno(IOMMU_IOAS_MAP_FILE, { ...base, fd: dmabuf_fd })).toBeUndefined();
});

it('a struct that cannot be written is EFAULT; the area stays, as in the kernel', async () => {
  const { b, base } = await withFile();
  expect((await readOnly(b, IOMMU_IOAS_MAP_FILE, base)).errno).toBe('EFAULT');
  expect(await b.errno(IOMMU_IOAS_MAP_FILE, base)).toBe('EEXIST');
});

describe('files without memory of their own', () => {
  const withDevices = async (): Promise<{ b: Bench; ioas: number }> => {
    const b = await bench(undefined, 1 << 24, '7.2');
    return { b, ioas: await b.ioas() };
  };
  const open = async ({ b }: { b: Bench }, path: string, flags = 2): Promise<number> => {
    const fd = await b.host.run(b.p.open(path, flags));
    if (!fd.ok) throw new Error(fd.errno);
    return fd.value;
  };
  const map = ({ b, ioas }: { b: Bench; ioas: number }, fields: object) =>
    b.errno(IOMMU_IOAS_MAP_FILE, { flags: RW, ioas_id: ioas, length: 4096n, iova: 0x10000n, ...fields });

  it.each([
    ['/dev/zero', 2, 'EINVAL'],
    ['/dev/null', 2, 'EINVAL'],
    ['/proc/self/exe', 0, undefined],
  ])(
    '%s: with a domain its pages are looked for, without one nobody looks (c061, c062)',
    async (path, flags, errno) => {
      const s = await withDevices();
      const fd = await open(s, path, flags);
      expect(await map(s, { fd })).toBeUndefined();
      await s.b.ioctl(IOMMU_IOAS_UNMAP, { ioas_id: s.ioas, iova: 0n, length: U64_MAX });
      const { dev } = await s.b.bind(ALONE);
      await s.b.attach(dev, s.ioas);
      expect(await map(s, { fd })).toBe(errno);
      expect(await map(s, { fd: 0, iova: 0x20000n })).toBe('EINVAL');
      expect(s.b.host.broken()).toEqual([]);
    },
  );

  it('a dma-buf of /dev/udmabuf is refused, the range first (c072)', async () => {
    const s = await withDevices();
    const { b } = s;
    const memfd = await b.host.run(b.p.memfds.create(MFD_ALLOW_SEALING));
    if (!memfd.ok) throw new Error(memfd.errno);
    await b.host.run(b.p.memfds.truncate(memfd.value, 65536));
    await b.host.run(b.p.memfds.seal(memfd.value, F_SEAL_SHRINK));
    const ud = await open(s, '/dev/udmabuf');
    const made = await b.host.run(b.p.ioctl(ud, UDMABUF_CREATE, { memfd: memfd.value, size: 16384n }));
    expect([made.errno, b.p.kindOf(made.ret)]).toEqual([undefined, 'dmabuf']);
    expect(await map(s, { fd: made.ret, iova: 1n })).toBe('EOPNOTSUPP');
    expect(await map(s, { fd: made.ret, length: 20480n })).toBe('EINVAL');
    expect(await map(s, { fd: made.ret, length: 0n })).toBe('EINVAL');
  });
});

it('the kernel of 6.12 does not have it', async () => {
  const { b, base } = await withFile('6.12');
  expect(await refusal(b, IOMMU_IOAS_MAP_FILE, base)).toEqual(refused('ENOTTY'));
});

it('pins the file, which lives on when its fd is closed, and gives it back (feature 86)', async () => {
  const { b, ioas_id, base } = await withFile();
  await b.mock(ioas_id);
  expect(await b.errno(IOMMU_IOAS_MAP_FILE, { ...base, length: 16384n })).toBeUndefined();
  await b.must(b.p.close(base.fd));
  expect(b.host.figures('pages').pins).toBe(4);
  expect(b.host.broken()).toEqual([]);
  await b.ioctl(IOMMU_IOAS_UNMAP, { ioas_id, iova: 0n, length: U64_MAX });
  expect(b.host.figures('pages')).toMatchObject({ pins: 0, stores: 0 });
});

it('what was mapped for reading only is not lent out for writing: EPERM, however the file was opened', async () => {
  const { b, ioas_id, base } = await withFile();
  expect(await b.errno(IOMMU_IOAS_MAP_FILE, { ...base, flags: 5 })).toBeUndefined();
  const places = { src_ioas_id: ioas_id, dst_ioas_id: ioas_id, src_iova: APERTURE, dst_iova: APERTURE + 65536n };
  expect(await refusal(b, IOMMU_IOAS_COPY, { ...places, flags: RW, length: 4096n })).toEqual(refused('EPERM'));
});
