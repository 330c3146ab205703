/**
 * The ioctls that the vfio core answers itself, whichever driver a device has; and those of a migration's data fd.
 *
 * Rule: the only ioctl that a file without access takes is BIND.
 */
import { frontDoor, row } from '@vfiolab/core';
import * as uapi from '@vfiolab/uapi';
import { attachIommufdPt } from './ioctl/attach-iommufd-pt.js';
import { bindIommufd } from './ioctl/bind-iommufd.js';
import { detachIommufdPt } from './ioctl/detach-iommufd-pt.js';
import { type MigrationFd, precopyInfo } from './ioctl/precopy-info.js';

export const migrationIoctlRows = frontDoor<MigrationFd>({
  VFIO_MIG_GET_PRECOPY_INFO: row(uapi.VFIO_MIG_GET_PRECOPY_INFO, precopyInfo),
});

export const commonIoctls = {
  VFIO_DEVICE_BIND_IOMMUFD: row(uapi.VFIO_DEVICE_BIND_IOMMUFD, bindIommufd),
  VFIO_DEVICE_ATTACH_IOMMUFD_PT: row(uapi.VFIO_DEVICE_ATTACH_IOMMUFD_PT, attachIommufdPt),
  VFIO_DEVICE_DETACH_IOMMUFD_PT: row(uapi.VFIO_DEVICE_DETACH_IOMMUFD_PT, detachIommufdPt),
};

/** Unknown to a file that was opened through the group (SURPRISES 33). */
export const cdevOnly: ReadonlySet<number> = new Set([
  uapi.VFIO_DEVICE_ATTACH_IOMMUFD_PT.nr,
  uapi.VFIO_DEVICE_DETACH_IOMMUFD_PT.nr,
]);
