/** Capability 63: without an IOMMU every way to a device ends early, and says why. */
import { NOTHING, TYPE1_V2 } from './support/container-lab.js';
import { ALONE, program2010 } from './support/designs-2010.js';

it('63: a function without an IOMMU cannot be bound to vfio-pci, so there is no node to open', async () => {
  const t = await program2010('bench', { iommu: 'none' });
  const { p } = t;
  const probe = await p.run(p.process.sysfsWrite('/sys/bus/pci/drivers/vfio-pci/bind', ALONE));
  expect(probe).toEqual({ ok: false, errno: 'EINVAL' });
  expect(await t.open('/dev/vfio/0')).toBe('ENOENT');
  expect(await t.open('/dev/vfio/devices/vfio0')).toBe('ENOENT');
  // BIND of 2010: the IOMMU is opened by itself, so it is that call which fails.
  expect(await t.open('/dev/uiommu')).toBe('ENODEV');
  expect(await t.open('/dev/vfio0')).toBe('ENOENT');
  const container = await p.container();
  expect(await p.setIommu(container, TYPE1_V2)).toBe('EINVAL');
  expect(await t.lab.afterwards(p)).toEqual(NOTHING);
});

it('63: an IOMMU that has windows and no domains is none for /dev/uiommu', async () => {
  const t = await program2010('bench', { iommu: 'ppc64-pseries' });
  expect(await t.open('/dev/uiommu')).toBe('ENODEV');
});
