import { encode, VFIO_IOMMU_DIRTY_PAGES, VFIO_IOMMU_GET_INFO, vfio_iommu_type1_dirty_bitmap_get } from '@vfiolab/uapi';
import { ContainerLab, IOVA, NOTHING, PAGE } from './support/container-lab.js';

const page = BigInt(PAGE);

it('90: migration, mappings left, IOVA ranges, in this order; a buffer too short gets the length', async () => {
  const lab = await ContainerLab.boot();
  const p = await lab.program('vmm');
  const { container } = await p.ready();
  expect((await p.info(container)).ids).toEqual([2, 3, 1]);
  for (const argsz of [16, 24, 64, 119, 120, 121, 4096]) {
    const { out, tail } = await p.ioctl(container, VFIO_IOMMU_GET_INFO, { argsz }, { room: Math.max(0, argsz - 24) });
    const fits = argsz >= 120;
    expect([out.argsz, out.flags, out.cap_offset]).toEqual([fits ? argsz : 120, 3, fits ? 24 : 0]);
    expect(tail.some((byte) => byte !== 0)).toBe(fits);
  }
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

it('90: dirty pages by software: all that is mapped, from START to STOP', async () => {
  const lab = await ContainerLab.boot();
  const p = await lab.program('vmm');
  const { container } = await p.ready();
  const [va, bits] = [await p.memory(16 * PAGE), await p.memory(PAGE)];
  const dirty = async (flags: number, size = 32n * page) => {
    const bitmap = { pgsize: page, size: 8n, data: bits };
    const tail = encode(vfio_iommu_type1_dirty_bitmap_get, { iova: IOVA, size, bitmap });
    const { errno } = await p.ioctl(container, VFIO_IOMMU_DIRTY_PAGES, { flags }, flags === 4 ? { tail } : {});
    return errno ?? [...(await p.must(p.process.read(Number(bits), 4)))];
  };
  expect(await p.map(container, { vaddr: va, iova: IOVA, size: 12n * page })).toBeUndefined();
  expect(await dirty(4)).toBe('EINVAL');
  expect(await dirty(1)).toEqual([0, 0, 0, 0]);
  expect(await p.map(container, { vaddr: va, iova: IOVA + 20n * page, size: 4n * page })).toBeUndefined();
  for (let i = 0; i < 2; i++) expect(await dirty(4)).toEqual([0xff, 0x0f, 0xf0, 0]);
  expect(await dirty(4, 21n * page)).toBe('EINVAL');
  await dirty(2);
  expect(await dirty(4)).toBe('EINVAL');
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});
