/**
 * VFIO group fds (/dev/vfio/N and /dev/vfio/noiommu-N). Numbers 0x3b67..0x3b6a.
 *
 * Words: a *group* is the set of devices the IOMMU cannot tell apart; it is *viable* when nobody else drives its DMA.
 */
import { struct, u32 } from './codec.js';
import { ioctl, plainIoctl } from './ioctl.js';

/** `flags` of VFIO_GROUP_GET_STATUS. */
export const VFIO_GROUP_FLAGS_VIABLE = 1;
export const VFIO_GROUP_FLAGS_CONTAINER_SET = 2;

export const vfio_group_status = struct('vfio_group_status', 8, {
  argsz: u32(0),
  flags: u32(4),
});

export const VFIO_GROUP_GET_STATUS = ioctl({
  name: 'VFIO_GROUP_GET_STATUS',
  nr: 0x3b67,
  fd: 'group',
  struct: vfio_group_status,
  minSize: 8,
  copyBack: 'struct',
});

/** The argument points at the fd of a container or of an iommufd. */
export const VFIO_GROUP_SET_CONTAINER = plainIoctl({
  name: 'VFIO_GROUP_SET_CONTAINER',
  nr: 0x3b68,
  fd: 'group',
  arg: 's32',
  argIsFd: true,
});

export const VFIO_GROUP_UNSET_CONTAINER = plainIoctl({
  name: 'VFIO_GROUP_UNSET_CONTAINER',
  nr: 0x3b69,
  fd: 'group',
  arg: 'none',
});

/** The argument is the device's name, for vfio-pci optionally followed by ` vf_token=<uuid>`; the result is its fd. */
export const VFIO_GROUP_GET_DEVICE_FD = plainIoctl({
  name: 'VFIO_GROUP_GET_DEVICE_FD',
  nr: 0x3b6a,
  fd: 'group',
  arg: 'string',
  returnsFd: true,
});
