/** Mediated serial cards for programs: made by UUID, opened as cdevs or through their groups. */
import { type Errno, VFIO_DEVICE_BIND_IOMMUFD, VFIO_DEVICE_ATTACH_IOMMUFD_PT } from '@vfiolab/uapi';
import type { VfioProgram } from './container-lab.js';

export const UUID = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001';
export const TYPES = '/sys/class/mdev_bus/mtty/mdev_supported_types';
export const pathOf = (uuid = UUID): string => `/sys/bus/mdev/devices/${uuid}`;

export async function create(p: VfioProgram, type = 'mtty-1', uuid = UUID): Promise<number | Errno> {
  const made = await p.run(p.process.sysfsWrite(`${TYPES}/${type}/create`, uuid));
  return made.ok ? made.value : made.errno;
}

export async function remove(p: VfioProgram, uuid = UUID): Promise<number | Errno> {
  const removed = await p.run(p.process.sysfsWrite(`${pathOf(uuid)}/remove`, '1'));
  return removed.ok ? removed.value : removed.errno;
}

export async function openCdev(p: VfioProgram, device = pathOf()): Promise<number> {
  const [node] = await p.must(p.process.listdir(`${device}/vfio-dev`));
  return p.must(p.process.open(`/dev/vfio/devices/${node}`));
}

/** Opened and bound. */
export async function bind(p: VfioProgram, iommufd: number, device = pathOf()): Promise<{ fd: number; id: number }> {
  const fd = await openCdev(p, device);
  const { errno, out } = await p.ioctl(fd, VFIO_DEVICE_BIND_IOMMUFD, { argsz: 16, iommufd });
  if (errno) throw new Error(`BIND: ${errno}`);
  return { fd, id: out.out_devid };
}

/** The id of what it is attached to, or the errno. */
export async function attach(p: VfioProgram, fd: number, pt_id: number): Promise<number | Errno> {
  const { errno, out } = await p.ioctl(fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, { argsz: 12, pt_id });
  return errno ?? out.pt_id;
}

export async function openGroup(p: VfioProgram, uuid = UUID): Promise<number> {
  const link = await p.must(p.process.readlink(`${pathOf(uuid)}/iommu_group`));
  return p.must(p.process.open(`/dev/vfio/${link.split('/').pop()}`));
}
