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
