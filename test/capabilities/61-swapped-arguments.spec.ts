/** Capability 61: who swaps the IOMMU and the device is told. SHARE, which has two devices, cannot tell (capability 68). */
import { VFIO_DEVICE_BIND_IOMMUFD } from '@vfiolab/uapi';
import { ENGINE, NOTHING } from './support/container-lab.js';
import { ALONE, OTHER, program2010 } from './support/designs-2010.js';

it('61: a group cannot be a container, nor a device an IOMMU', async () => {
  const t = await program2010();
  const { p } = t;
  const [group, other, container] = [await p.group(ENGINE), await p.group(OTHER), await p.container()];
  expect(await p.setContainer(group, other)).toBe('EBADFD');
  expect(await p.setContainer(container, group)).toBe('EINVAL');
  expect(await p.setContainer(group, 99)).toBe('EBADF');
  expect(await p.setContainer(group, await t.domain())).toBe('EBADFD');
  expect(await p.setContainer(group, container)).toBe(0);
  const iommufd = await p.must(p.process.open('/dev/iommu'));
  expect((await p.ioctl(iommufd, VFIO_DEVICE_BIND_IOMMUFD, { iommufd: group })).errno).toBe('ENOTTY');
  expect(await t.lab.afterwards(p)).toEqual(NOTHING);
});

it('61: BIND of 2010 answers EBADF either way round', async () => {
  const t = await program2010();
  const { p } = t;
  const [domain, device] = [await t.domain(), await t.device(ALONE)];
  expect(await t.bind(domain, device)).toBe('EBADF');
  expect(await t.bind(device, device)).toBe('EBADF');
  expect(await t.bind(device, await p.container())).toBe('EBADF');
  expect(await t.bind(device, await p.must(p.process.open('/dev/iommu')))).toBe('EBADF');
  // Nothing has happened: the right way round works.
  expect(await t.bind(device, domain)).toBe(0);
  expect(await t.lab.afterwards(p)).toEqual(NOTHING);
});
