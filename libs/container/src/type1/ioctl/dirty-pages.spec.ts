import {
  encode,
  VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
  vfio_bitmap,
  VFIO_IOMMU_DIRTY_PAGES,
  vfio_iommu_type1_dirty_bitmap_get,
  VFIO_IOMMU_UNMAP_DMA,
} from '@vfiolab/uapi';
import { Bench, must, TYPE1 } from '../../testing/bench.js';

const [START, STOP, GET] = [1, 2, 4];
const IOVA = 0x100000n;
const PAGE = 4096n;

interface Range {
  readonly iova?: bigint;
  readonly size?: bigint;
  readonly pgsize?: bigint;
  readonly bytes?: bigint;
  readonly data?: bigint;
}

async function setup(profile = '6.12', type?: number) {
  const b = await Bench.boot({ profile });
  const { fd } = await b.ready(type);
  const va = await b.memory(0x100000);
  const bits = await b.memory(4096);
  const flags = async (value: number, fields = {}) =>
    (await b.ioctl(fd, VFIO_IOMMU_DIRTY_PAGES, { flags: value, ...fields })).errno;
  const get = async ({ iova = IOVA, size = 0x10000n, pgsize = PAGE, bytes = 8n, data = bits }: Range = {}) => {
    const bitmap = { pgsize, size: bytes, data };
    const tail = encode(vfio_iommu_type1_dirty_bitmap_get, { iova, size, bitmap });
    const { errno } = await b.ioctl(fd, VFIO_IOMMU_DIRTY_PAGES, { flags: GET }, { tail });
    return errno ?? hexOf(must(await b.run(b.p.read(Number(bits), Number(bytes)))));
  };
  return { b, fd, va, bits, flags, get };
}

const hexOf = (bytes: Uint8Array): string => [...bytes].map((x) => x.toString(16).padStart(2, '0')).join('');

it('every mapped page is dirty, as often as it is asked; nothing is said of the others (b073)', async () => {
  const { b, fd, va, flags, get } = await setup();
  await b.map(fd, { vaddr: va, iova: IOVA, size: 0x10000n });
  expect(await get()).toBe('EINVAL');
  for (let i = 0; i < 2; i++) expect(await flags(START)).toBeUndefined();
  for (let i = 0; i < 2; i++) expect(await get()).toBe('ffff000000000000');
});

it('whole words are written: bits before a mapping stay, bits behind it in its last word are cleared', async () => {
  const { b, fd, va, bits, flags, get } = await setup();
  await flags(START);
  await b.map(fd, { vaddr: va, iova: IOVA + 4n * PAGE, size: 2n * PAGE });
  await b.run(b.p.write(Number(bits), new Uint8Array(16).fill(0xff)));
  expect(await get({ size: 0x41000n, bytes: 16n })).toBe('3f00000000000000ffffffffffffffff');
});

it('several mappings in one request; one that is cut refuses it (b073)', async () => {
  const { b, fd, va, flags, get } = await setup();
  await flags(START);
  await b.map(fd, { vaddr: va, iova: IOVA, size: 0x10000n });
  await b.map(fd, { vaddr: va, iova: 2n * IOVA, size: 0x4000n });
  const both = await get({ size: 2n * IOVA, bytes: 64n });
  expect(both).toBe(`ffff${'0'.repeat(60)}0f${'0'.repeat(62)}`);
  expect(await get({ size: PAGE })).toBe('EINVAL');
  expect(await get({ iova: IOVA + PAGE, size: PAGE })).toBe('EINVAL');
  expect(await get({ size: 0x20000n })).toBe('ffff000000000000');
  expect(await get({ iova: 0x500000n, size: PAGE })).toBe('ffff000000000000');
});

it.each([
  ['nothing', { size: 0n }, 'EINVAL'],
  ['another page size', { pgsize: 8192n }, 'EINVAL'],
  ['no page size', { pgsize: 0n }, 'EINVAL'],
  ['not on a page', { iova: IOVA + 0x800n, size: PAGE }, 'EINVAL'],
  ['half a page', { size: 0x800n }, 'EINVAL'],
  ['a bitmap that is too small', { bytes: 1n }, 'EINVAL'],
  ['an empty bitmap', { bytes: 0n }, 'EINVAL'],
  ['a bitmap that is too large', { bytes: (1n << 28n) + 8n }, 'EINVAL'],
  ['a bitmap outside of user space', { data: 1n << 63n }, 'EINVAL'],
  ['a bitmap that is not there', { data: 0x1000n }, 'EFAULT'],
] as const)('GET of %s', async (_what, range, errno) => {
  const { b, fd, va, flags, get } = await setup();
  await b.map(fd, { vaddr: va, iova: IOVA, size: 0x10000n });
  await flags(START);
  expect(await get(range)).toBe(errno);
});

it.each([
  ['6.12', 'EINVAL'],
  ['7.2', 'EOVERFLOW'],
])('a range that wraps is %s: %s', async (profile, errno) => {
  const { flags, get } = await setup(profile);
  await flags(START);
  expect(await get({ iova: 0xfffffffffffff000n, size: 8192n })).toBe(errno);
});

it.each([
  ['no flag', 0, {}],
  ['two flags', START | STOP, {}],
  ['an unknown flag', 8, {}],
  ['argsz too small', START, { argsz: 7 }],
  ['GET without a range', GET, {}],
])('%s is EINVAL', async (_what, value, fields) => {
  const { flags } = await setup();
  expect(await flags(value, fields)).toBe('EINVAL');
});

it('on v1 it is EACCES, whatever the argument is (SURPRISES 46)', async () => {
  const { b, fd, flags } = await setup('6.12', TYPE1);
  expect(await flags(START)).toBe('EACCES');
  expect((await b.plain(fd, VFIO_IOMMU_DIRTY_PAGES.nr, 0)).errno).toBe('EACCES');
});

it('UNMAP_DMA tells what was dirty while it unmaps (b073)', async () => {
  const { b, fd, va, bits, flags } = await setup();
  const unmap = async (fields: object, bitmap: object = {}) => {
    const tail = encode(vfio_bitmap, { pgsize: PAGE, size: 8n, data: bits, ...bitmap });
    const all = { flags: VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP, iova: IOVA, size: 0x4000n, ...fields };
    const { errno, out } = await b.ioctl(fd, VFIO_IOMMU_UNMAP_DMA, all, { tail });
    return errno ?? out.size;
  };
  await b.map(fd, { vaddr: va, iova: IOVA, size: 0x4000n });
  expect(await unmap({})).toBe('EINVAL');
  await flags(START);
  expect(await unmap({}, { pgsize: 8192n })).toBe('EINVAL');
  expect(await unmap({}, { size: 0n })).toBe('EINVAL');
  expect(await unmap({ flags: VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP | 2, iova: 0n, size: 0n })).toBe('EINVAL');
  expect(await unmap({ argsz: 24 })).toBe('EINVAL');
  expect(await unmap({}, { data: 0x1000n })).toBe('EFAULT');
  expect(await b.lockedKb()).toBe(16);
  expect(await unmap({})).toBe(0x4000n);
  expect(hexOf(must(await b.run(b.p.read(Number(bits), 8))))).toBe('0f00000000000000');
  expect(await b.lockedKb()).toBe(0);
  expect(b.host.broken()).toEqual([]);
});

it('what was told before the bitmap ended goes; the rest stays', async () => {
  const { b, fd, va, bits, flags } = await setup();
  await flags(START);
  await b.map(fd, { vaddr: va, iova: IOVA, size: PAGE });
  await b.map(fd, { vaddr: va, iova: IOVA + 64n * PAGE, size: PAGE });
  const end = bits + 4096n - 8n;
  const tail = encode(vfio_bitmap, { pgsize: PAGE, size: 16n, data: end });
  const fields = { flags: VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP, iova: IOVA, size: 65n * PAGE };
  const { errno } = await b.ioctl(fd, VFIO_IOMMU_UNMAP_DMA, fields, { tail });
  expect([errno, await b.lockedKb()]).toEqual(['EFAULT', 4]);
  expect(b.host.broken()).toEqual([]);
});

it('tracking is part of the state, and holds for mappings that come later', async () => {
  const { b, fd, va, flags, get } = await setup();
  await flags(START);
  await b.map(fd, { vaddr: va, iova: IOVA, size: PAGE });
  expect(b.reread()).toBe(true);
  expect(await get()).toBe('0100000000000000');
  await flags(STOP);
  expect(await get()).toBe('EINVAL');
});
