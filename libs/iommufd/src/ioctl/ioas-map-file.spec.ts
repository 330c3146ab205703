import { IOMMU_IOAS_MAP_FILE, IOMMU_IOAS_UNMAP } from '@vfiolab/uapi';
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
