/** Capability 2: BIND_IOMMUFD gates full access, and makes the device an object of the iommufd. */
import {
  IOMMU_DESTROY,
  IOMMU_HWPT_ALLOC,
  VFIO_DEVICE_BIND_IOMMUFD,
  VFIO_DEVICE_GET_INFO,
  VFIO_DEVICE_PCI_HOT_RESET,
} from '@vfiolab/uapi';
import { BDFS, Host, NOTHING } from './support/passthrough.js';

it('2: after BIND GET_INFO works and out_devid is valid in the iommufd', async () => {
  const host = await Host.boot();
  const p = await host.program('vmm');
  const other = await p.must(p.process.open('/dev/iommu'));
  const fd = await p.open(BDFS[0]);
  expect(await p.errno(fd, VFIO_DEVICE_GET_INFO, { argsz: 16 })).toBe('EINVAL');
  const { out_devid: dev_id } = await p.ioctl(fd, VFIO_DEVICE_BIND_IOMMUFD, { argsz: 16, iommufd: p.iommufd });
  const info = await p.ioctl(fd, VFIO_DEVICE_GET_INFO, { argsz: 16 });
  expect([info.flags & 2, info.num_regions, info.num_irqs]).toEqual([2, 9, 5]);
  const alloc = { dev_id, pt_id: p.ioas };
  expect(await p.errno(p.iommufd, IOMMU_HWPT_ALLOC, alloc)).toBeUndefined();
  expect(await p.errno(p.iommufd, IOMMU_HWPT_ALLOC, { ...alloc, dev_id: dev_id + 1000 })).toBe('ENOENT');
  expect(await p.errno(other, IOMMU_HWPT_ALLOC, alloc)).toBe('ENOENT');
  // The driver holds it, until the file is closed.
  expect(await p.errno(p.iommufd, IOMMU_DESTROY, { id: dev_id })).toBe('EBUSY');
  await p.must(p.process.close(fd));
  expect(await p.errno(p.iommufd, IOMMU_DESTROY, { id: dev_id })).toBe('ENOENT');
  expect(await host.afterwards(p)).toEqual(NOTHING);
});

it('2: a bound file is not bound again, and knows what else the device can do', async () => {
  const host = await Host.boot();
  const p = await host.program('vmm');
  const fd = await p.open(BDFS[0]);
  const bind = () => p.errno(fd, VFIO_DEVICE_BIND_IOMMUFD, { argsz: 16, iommufd: p.iommufd });
  expect([await bind(), await bind()]).toEqual([undefined, 'EINVAL']);
  // On a root bus nothing can be reset as a whole: the ioctl is there, and says that.
  expect(await p.errno(fd, VFIO_DEVICE_PCI_HOT_RESET, { argsz: 12 })).toBe('ENODEV');
  expect((await p.host.run(p.process.ioctlAt(fd, 0x3bff, 0, []))).errno).toBe('ENOTTY');
  expect(await host.afterwards(p)).toEqual(NOTHING);
});
