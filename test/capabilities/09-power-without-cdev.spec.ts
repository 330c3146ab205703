import { VFIO_GROUP_GET_STATUS } from '@vfiolab/uapi';
import { NOTHING } from './support/container-lab.js';
import { ALONE, powerLab, V1, V2 } from './support/power-lab.js';

it('9: devices on POWER have no nodes of their own; a container takes DMA windows and no type1', async () => {
  const lab = await powerLab();
  const p = await lab.program('vmm');
  expect(await p.run(p.process.listdir('/dev/vfio/devices'))).toEqual({ ok: false, errno: 'ENOENT' });
  expect(await p.must(p.process.listdir('/dev/vfio'))).toEqual(['0', '2', '3', '4', 'vfio']);
  const container = await p.container();
  const group = await p.group(ALONE);
  expect(await p.setContainer(group, container)).toBe(0);
  for (const type of [1, 3, 6, 8]) expect(await p.setIommu(container, type)).toBe('ENODEV');
  expect([await p.extension(container, V1), await p.extension(container, V2)]).toEqual([1, 1]);
  expect(await p.setIommu(container, V1)).toBe(0);
  expect(await p.device(group, ALONE)).toEqual(expect.any(Number));
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

it.each([
  ['P-powernv9', 'EPERM'],
  ['P-powernv9-unsafe', 'EOPNOTSUPP'],
] as const)('9: on %s iommufd takes the group, but no device of it: %s (p070)', async (machine, errno) => {
  const lab = await powerLab(machine);
  const p = await lab.program('vmm');
  const iommufd = await p.must(p.process.open('/dev/iommu'));
  const group = await p.group(ALONE);
  expect(await p.setContainer(group, iommufd)).toBe(0);
  expect(await p.setIommu(iommufd, V1)).toBe('EINVAL');
  expect(await p.setIommu(iommufd, 3)).toBe(0);
  expect((await p.ioctl(group, VFIO_GROUP_GET_STATUS)).out.flags).toBe(3);
  expect(await p.device(group, ALONE)).toBe(errno);
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});
