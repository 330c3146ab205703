/** Capability 60: the IOMMU and the device are files of their own, so each thing that can go wrong has an errno of its own. */
import { deviceAddress, sysApi } from '@vfiolab/core';
import { VFIO_DEVICE_BIND_IOMMUFD, VFIO_DEVICE_GET_INFO } from '@vfiolab/uapi';
import { NOTHING } from './support/container-lab.js';
import { ALONE, NEXT_TO_NATIVE, OTHER, program2010 } from './support/designs-2010.js';

it('60: iommufd: seven mistakes, and the errno of each', async () => {
  const t = await program2010();
  const { p } = t;
  const cdev = async (bdf: string) => {
    const [name] = await p.must(p.process.listdir(`/sys/bus/pci/devices/${bdf}/vfio-dev`));
    return p.must(p.process.open(`/dev/vfio/devices/${name}`));
  };
  const bind = async (device: number, iommufd: number) =>
    (await p.ioctl(device, VFIO_DEVICE_BIND_IOMMUFD, { iommufd })).errno;
  const iommufd = await p.must(p.process.open('/dev/iommu'));
  const device = await cdev(ALONE);
  expect((await p.ioctl(device, VFIO_DEVICE_GET_INFO, {})).errno).toBe('EINVAL');
  expect(await bind(device, 99)).toBe('EBADF');
  expect(await bind(device, device)).toBe('EBADFD');
  expect(await bind(await cdev(NEXT_TO_NATIVE), iommufd)).toBe('EPERM');
  const group = await p.group(OTHER);
  expect(await bind(await cdev(OTHER), iommufd)).toBe('EBUSY');
  expect(await bind(device, iommufd)).toBeUndefined();
  expect(await bind(device, iommufd)).toBe('EINVAL');
  expect(await p.device(group, ALONE)).toBe('ENODEV');
  expect(await t.lab.afterwards(p)).toEqual(NOTHING);
});

it('60: BIND of 2010: each mistake has an errno of its own too', async () => {
  const t = await program2010('two-units', { iommu: 'intel-vtd-scalable' });
  const { p } = t;
  const [domain, device] = [await t.domain(), await t.device(ALONE)];
  expect(await t.bind(device, 99)).toBe('EBADF');
  expect(await t.bind(await t.device(NEXT_TO_NATIVE), domain)).toBe('EBUSY');
  expect((await p.ioctl(device, VFIO_DEVICE_GET_INFO, {})).errno).toBe('EINVAL');
  expect(await t.bind(device, domain)).toBe(0);
  expect(await t.bind(device, domain)).toBe('EBUSY');
  expect(await t.bind(await t.device(OTHER), domain)).toBe('EINVAL');
  expect((await p.ioctl(device, VFIO_DEVICE_GET_INFO, {})).errno).toBeUndefined();
  expect((await p.ioctl(device, VFIO_DEVICE_BIND_IOMMUFD, { iommufd: domain })).errno).toBe('ENOTTY');
  expect(await t.lab.afterwards(p)).toEqual(NOTHING);
});

it('60: none of it is there when the host was not made for teaching', async () => {
  const t = await program2010('bench', { teaching: undefined as never });
  expect(await t.open('/dev/uiommu')).toBe('ENOENT');
  expect(await t.open('/dev/vfio0')).toBe('ENOENT');
  const { p } = t;
  expect(await p.must(p.process.listdir('/dev'))).toEqual(['iommu', 'null', 'udmabuf', 'vfio', 'zero']);
});

it('60: nor by asking the device itself for such a file', async () => {
  const t = await program2010('bench', { teaching: undefined as never });
  const { process } = t.p;
  const owner = deviceAddress(ALONE);
  const { token, kind } = await t.p.must(process.link.call(owner, sysApi.open, { path: '/dev/vfio0', flags: 2 }));
  const device = process.fds.install({ token, kind, owner, users: 1 });
  const va = await t.p.memory(4096);
  expect(await t.map(device, va)).toBe('EPERM');
  expect(await t.share(device, device)).toBe(0);
  expect((await t.p.ioctl(device, VFIO_DEVICE_GET_INFO, {})).errno).toBe('EINVAL');
  expect(await t.lab.afterwards(t.p)).toEqual(NOTHING);
});
