/** Capability 100: the legacy VGA addresses (semantics D2.6). */
import { ENGINE, GraphicsHost, HEADLESS, IGD, NVIDIA } from './support/graphics.js';

const VGA = 8;

it('100: index 8 only for class 0300', async () => {
  const g = await GraphicsHost.boot();
  for (const bdf of [IGD, NVIDIA]) {
    const fd = await g.device(bdf);
    expect(await g.region(fd, VGA)).toEqual({ flags: 3, size: 0xc0000, type: [] });
    expect(await g.regionCount(fd)).toBe(9);
  }
  for (const bdf of [HEADLESS, ENGINE]) {
    const fd = await g.device(bdf);
    expect([await g.region(fd, VGA), await g.read(fd, VGA, 0x3c0, 1)]).toEqual(['EINVAL', 'EINVAL']);
    expect(await g.write(fd, VGA, 0x3c0, new Uint8Array(1))).toBe('EINVAL');
  }
  expect(g.host.broken()).toEqual([]);
});

it('100: three windows, at whose ends accesses end; nothing beside them, and nothing to map', async () => {
  const g = await GraphicsHost.boot();
  const fd = await g.device(NVIDIA);
  const lengthAt = async (offset: number, length: number) => {
    const read = await g.read(fd, VGA, offset, length);
    const written = await g.write(fd, VGA, offset, new Uint8Array(length));
    expect(written).toEqual(typeof read === 'string' ? read : read.length);
    return written;
  };
  expect([await lengthAt(0xa0000, 16), await lengthAt(0xbfffe, 16), await lengthAt(0xc0000, 1)]).toEqual([
    16,
    2,
    'EINVAL',
  ]);
  expect([await lengthAt(0x3b0, 64), await lengthAt(0x3bc, 1), await lengthAt(0x3bf, 4)]).toEqual([
    12,
    'EINVAL',
    'EINVAL',
  ]);
  expect([await lengthAt(0x3c0, 64), await lengthAt(0x3e0, 1), await lengthAt(0, 4)]).toEqual([32, 'EINVAL', 'EINVAL']);
  expect(await g.host.run(g.p.mapDevice(fd, VGA * 2 ** 40, 4096))).toEqual({ ok: false, errno: 'EINVAL' });
});

it('100: kernels of other machines than PCs have no such region', async () => {
  const g = await GraphicsHost.boot({ iommu: 'arm-smmu-v3' });
  expect(await g.region(await g.device(NVIDIA), VGA)).toBe('EINVAL');
  const parameters = await g.must(g.p.listdir('/sys/module/vfio_pci/parameters'));
  expect(parameters).not.toContain('disable_vga');
});
