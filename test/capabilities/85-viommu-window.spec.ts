import { IOMMU_VIOMMU_ALLOC, IOMMU_VIOMMU_TYPE_SELFTEST } from '@vfiolab/uapi';
import { Lab, NOTHING } from './support/lab.js';
import { PAGE, type Program } from './support/program.js';
import { virtual } from './support/viommus.js';

const WORD = 0x1234;

/** A vIOMMU whose driver hands out a window, and where it says that the window is. */
async function withWindow(p: Program) {
  const { device: dev_id, parent: hwpt_id } = await virtual(p);
  const data_uptr = new Uint8Array(24);
  const view = new DataView(data_uptr.buffer);
  view.setUint32(0, WORD, true);
  const alloc = { type: IOMMU_VIOMMU_TYPE_SELFTEST, dev_id, hwpt_id, data_len: 24, data_uptr };
  const { out_viommu_id } = await p.ioctl(IOMMU_VIOMMU_ALLOC, alloc);
  return {
    viommu: out_viommu_id,
    offset: Number(view.getBigUint64(8, true)),
    length: Number(view.getBigUint64(16, true)),
  };
}

it('85: the window is mapped with exactly its offset and length; a mapping holds the vIOMMU', async () => {
  const lab = await Lab.mock();
  const p = await lab.program('vmm');
  const { viommu, offset, length } = await withWindow(p);
  const mapped = (at: number, bytes: number) => lab.run(p.process.mapFile(p.fd, at, bytes));
  for (const [at, bytes] of [
    [0, length],
    [offset, length - PAGE],
    [offset, length + PAGE],
    [offset + PAGE, length - PAGE],
    [offset + PAGE, length],
    [offset + length, length],
  ] as const)
    expect(await mapped(at, bytes)).toEqual({ ok: false, errno: 'ENXIO' });
  expect(await mapped(offset + 8, length)).toEqual({ ok: false, errno: 'EINVAL' });
  const va = await p.must(p.process.mapFile(p.fd, offset, length));
  const first = await p.must(p.process.load(va, 4));
  expect(new DataView(first.buffer, first.byteOffset).getUint32(0, true)).toBe(WORD);
  expect(await p.destroy(viommu)).toBe('EBUSY');
  await p.must(p.process.munmap(va, length));
  expect(await p.destroy(viommu)).toBeUndefined();
  expect(await mapped(offset, length)).toEqual({ ok: false, errno: 'ENXIO' });
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});
