import { VFIO_IOMMU_SPAPR_TCE_GET_INFO } from '@vfiolab/uapi';
import { NOTHING } from './support/container-lab.js';
import { ALONE, createWindow, powerLab, removeWindow, V2 } from './support/power-lab.js';

const GIB = 1n << 30n;

it.each([
  ['P-powernv9', ALONE, 2, 5, 0n],
  ['P-pseries', '0001:00:01.0', 1, 1, 0n],
] as const)(
  '49: on %s a program asks for a size, and the platform says where',
  async (machine, bdf, gib, levels, start) => {
    const lab = await powerLab(machine);
    const p = await lab.program('vmm');
    const { container } = await p.ready([bdf], V2);
    const { out } = await p.ioctl(container, VFIO_IOMMU_SPAPR_TCE_GET_INFO);
    expect(out).toMatchObject({ flags: 1, dma32_window_start: 0, dma32_window_size: gib * Number(GIB) });
    expect(out.ddw).toMatchObject({ max_dynamic_windows_supported: 2, levels });
    expect(await removeWindow(p, container, 0n)).toBeUndefined();
    expect(await createWindow(p, container, 12, GIB)).toBe(start);
    expect(await createWindow(p, container, 16, GIB)).toBe(1n << 59n);
    expect(await createWindow(p, container, 16, GIB)).toBe('ENOSPC');
    expect(await createWindow(p, container, 13, GIB)).toBe('ENOSPC');
    expect(await removeWindow(p, container, 1n << 59n)).toBeUndefined();
    expect(await createWindow(p, container, 13, GIB)).toBe('EINVAL');
    expect(await lab.afterwards(p)).toEqual(NOTHING);
  },
);
