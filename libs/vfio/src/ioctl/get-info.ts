/** VFIO_DEVICE_GET_INFO: what kind of device this is, and how many regions and interrupt indexes it has (trace b040). */
import type { IoctlResult } from '@vfiolab/core';
import {
  ok,
  VFIO_DEVICE_FLAGS_PCI,
  VFIO_DEVICE_FLAGS_RESET,
  VFIO_PCI_NUM_IRQS,
  VFIO_PCI_NUM_REGIONS,
  type vfio_device_info,
} from '@vfiolab/uapi';
import type { DeviceCall } from '../device-call.js';

export function getInfo(c: DeviceCall<typeof vfio_device_info>): IoctlResult {
  const reset = c.file.device.resets.length > 0 ? VFIO_DEVICE_FLAGS_RESET : 0;
  const written = c.respond({
    flags: VFIO_DEVICE_FLAGS_PCI | reset,
    num_regions: VFIO_PCI_NUM_REGIONS,
    num_irqs: VFIO_PCI_NUM_IRQS,
    cap_offset: 0,
    pad: 0,
  });
  return written.ok ? ok(0) : written;
}
