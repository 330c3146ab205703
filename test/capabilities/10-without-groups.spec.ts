/** Capability 10: a kernel built without group and container code: cdevs are all there is (CONFIG_VFIO_GROUP=n). */
import { CARD, CardHost, OURS } from './support/card-group.js';

const boot = () => CardHost.boot({ vfioContainer: 'none' });

it('10: group-manager service without node publication still enforces ownership', async () => {
  const b = await boot();
  expect([await b.names('/dev/vfio'), await b.names('/dev/vfio/devices')]).toEqual([['devices'], ['vfio0']]);
  const device = await b.open();
  expect(await b.bind(device)).toBe('EPERM');
  await b.write('drivers/e1000e/unbind', CARD);
  expect(await b.bind(device)).toBe('bound');
  expect(await b.write('drivers/e1000e/bind', CARD)).toBe('EBUSY');
  await b.write(`devices/${CARD}/driver_override`, 'vfio-pci');
  expect(await b.write('drivers_probe', CARD)).toBe(CARD.length);
  expect(await b.names('/dev/vfio')).toEqual(['devices']);
  const [sibling, foreign] = [await b.open('/dev/vfio/devices/vfio1'), await b.open('/dev/iommu')];
  expect(await b.bind(sibling, foreign as number)).toBe('EPERM');
  expect(await b.bind(sibling)).toBe('bound');
  expect(b.host.broken()).toEqual([]);
});

it('10: no node of a group or a container, no class, no misc device, and nothing to switch on', async () => {
  const b = await boot();
  const group = await b.host.run(b.p.readlink(`/sys/bus/pci/devices/${OURS}/iommu_group`));
  const name = group.ok ? group.value.replace(/.*\//, '') : '';
  expect(name).toMatch(/^\d+$/);
  expect([await b.open(`/dev/vfio/${name}`), await b.open('/dev/vfio/vfio')]).toEqual(['ENOENT', 'ENOENT']);
  expect(await b.names('/sys/class')).not.toContain('vfio');
  expect(await b.names('/sys/class/vfio-dev')).toEqual(['vfio0']);
  expect(await b.read('/proc/misc')).not.toMatch(/ vfio$/m);
  expect(await b.read('/proc/misc')).toMatch(/ iommu$/m);
  const mode = '/sys/module/vfio/parameters/enable_unsafe_noiommu_mode';
  expect([await b.read(mode), await b.write(mode, '1')]).toEqual(['ENOENT', 'ENOENT']);
  expect(await b.names('/sys/module/vfio_iommu_type1')).toBe('ENOENT');
  // The first number that is free: groups have none.
  expect(await b.read('/sys/class/vfio-dev/vfio0/dev')).toBe('254:0\n');
  await b.write('drivers/vfio-pci/unbind', OURS);
  expect(await b.names('/dev/vfio')).toBe('ENOENT');
});

it('10: POWER has its containers in groups: there is no such kernel', async () => {
  const power = CardHost.boot({ vfioContainer: 'none', iommu: 'ppc64-pnv' });
  await expect(power).rejects.toThrow(/never built without groups/);
});
