import { IOMMU_IOAS_MAP_FILE, IOMMU_IOAS_UNMAP, UDMABUF_CREATE } from '@vfiolab/uapi';
import { F_SEAL_SHRINK, MFD_ALLOW_SEALING } from '@vfiolab/core';
import { U64_MAX } from '../spans.js';
import { ALONE, bench, type Bench } from '../testing/bench.js';

const RW = 7;

/** A program on a 7.2 host with a memfd of 64 KiB. */
async function withFile(): Promise<{ b: Bench; ioas: number; file: number }> {
  const b = await bench(undefined, 1 << 24, '7.2');
  const made = await b.host.run(b.p.memfds.create(0));
  if (!made.ok) throw new Error(made.errno);
  await b.host.run(b.p.memfds.truncate(made.value, 65536));
  return { b, ioas: await b.ioas(), file: made.value };
}

// In the kernel's order of checks (c061): each line breaks one rule, and a later one too where it can.
it.each([
  ['an unknown flag', { flags: 8 | RW, ioas_id: 99 }, 'EOPNOTSUPP'],
  ['the last IOVA there is', { iova: U64_MAX, ioas_id: 99 }, 'EOVERFLOW'],
  ['the longest length there is', { length: U64_MAX, ioas_id: 99 }, 'EOVERFLOW'],
  ['neither readable nor writeable', { flags: 1, ioas_id: 99 }, 'EINVAL'],
  ['an IOAS that does not exist', { ioas_id: 99, length: 0n }, 'ENOENT'],
  ['no length, before the fd', { length: 0n, fd: 99 }, 'EINVAL'],
  ['an fd that is not open', { fd: 99 }, 'EBADF'],
] as const)('%s', async (_why, fields, errno) => {
  const { b, ioas, file } = await withFile();
  const base = { flags: RW, ioas_id: ioas, fd: file, start: 0n, length: 4096n, iova: 0x10000n };
  expect(await b.errno(IOMMU_IOAS_MAP_FILE, { ...base, ...fields })).toBe(errno);
  expect(b.host.figures('pages').stores).toBe(0);
});

describe('files without memory of their own', () => {
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
      const s = await withFile();
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
    const s = await withFile();
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
  const b = await bench();
  expect(await b.errno(IOMMU_IOAS_MAP_FILE, { ioas_id: await b.ioas() })).toBe('ENOTTY');
});

it('pins the file, which lives on when its fd is closed, and gives it back (feature 86)', async () => {
  const { b, ioas, file } = await withFile();
  const { dev } = await b.bind(ALONE);
  await b.attach(dev, ioas);
  const map = { flags: RW, ioas_id: ioas, fd: file, start: 0n, length: 16384n, iova: 0x10000n };
  expect(await b.errno(IOMMU_IOAS_MAP_FILE, map)).toBeUndefined();
  await b.close(file);
  expect(b.host.figures('pages').pins).toBe(4);
  expect(b.host.figures('iommu').mappedPages).toBe(4);
  expect(b.host.broken()).toEqual([]);
  await b.ioctl(IOMMU_IOAS_UNMAP, { ioas_id: ioas, iova: 0n, length: U64_MAX });
  expect(b.host.figures('pages')).toMatchObject({ pins: 0, stores: 0 });
});
