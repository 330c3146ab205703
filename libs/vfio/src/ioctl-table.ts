/**
 * The ioctls of a file of a PCI function: one row each.
 *
 * Rule: an ioctl without a row is unknown to this device: ENOTTY once the file has access, EINVAL before (trace b010).
 * VFIO_DEVICE_RESET takes no struct, so the core calls it by itself.
 */
import { frontDoor, row } from '@vfiolab/core';
import * as uapi from '@vfiolab/uapi';
import { commonIoctls } from './common-ioctls.js';
import type { OpenDevice } from './device-call.js';
import { pciFeature } from './feature/features.js';
import { deviceFeature } from './ioctl/feature.js';
import { getInfo } from './ioctl/get-info.js';
import { getIrqInfo } from './ioctl/get-irq-info.js';
import { getPciHotResetInfo } from './ioctl/get-pci-hot-reset-info.js';
import { getRegionInfo } from './ioctl/get-region-info.js';
import { ioeventfd } from './ioctl/ioeventfd.js';
import { pciHotReset } from './ioctl/pci-hot-reset.js';
import { setIrqs } from './ioctl/set-irqs.js';

export const deviceIoctlRows = frontDoor<OpenDevice>({
  ...commonIoctls,
  VFIO_DEVICE_GET_INFO: row(uapi.VFIO_DEVICE_GET_INFO, getInfo),
  VFIO_DEVICE_GET_REGION_INFO: row(uapi.VFIO_DEVICE_GET_REGION_INFO, getRegionInfo),
  VFIO_DEVICE_GET_IRQ_INFO: row(uapi.VFIO_DEVICE_GET_IRQ_INFO, getIrqInfo),
  VFIO_DEVICE_IOEVENTFD: row(uapi.VFIO_DEVICE_IOEVENTFD, ioeventfd),
  VFIO_DEVICE_FEATURE: row(uapi.VFIO_DEVICE_FEATURE, deviceFeature(pciFeature)),
  VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: row(uapi.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, getPciHotResetInfo),
  VFIO_DEVICE_PCI_HOT_RESET: row(uapi.VFIO_DEVICE_PCI_HOT_RESET, pciHotReset),
  VFIO_DEVICE_SET_IRQS: row(uapi.VFIO_DEVICE_SET_IRQS, setIrqs),
});
