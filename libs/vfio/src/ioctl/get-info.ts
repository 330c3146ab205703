/**
 * VFIO_DEVICE_GET_INFO: what kind of device this is, and how many regions and interrupt indexes it has (trace b040); a function
 * of s390 says more (capability 103).
 */
import type { IoctlResult } from '@vfiolab/core';
import {
  capabilityReply,
  copyOut,
  ok,
  VFIO_DEVICE_FLAGS_CAPS,
  VFIO_DEVICE_FLAGS_PCI,
  VFIO_DEVICE_FLAGS_RESET,
  VFIO_PCI_NUM_IRQS,
  VFIO_PCI_NUM_REGIONS,
  vfio_device_info,
} from '@vfiolab/uapi';
import type { DeviceCall } from '../device-call.js';
import { zpciCapabilities } from '../zpci.js';

export function getInfo(c: DeviceCall<typeof vfio_device_info>): IoctlResult {
  const reset = c.file.device.resetWorks ? VFIO_DEVICE_FLAGS_RESET : 0;
  const { facts, flags } = c.file.device;
  const caps = capabilityReply(
    vfio_device_info.size,
    c.userSize,
    facts.zpci ? zpciCapabilities(facts.bdf, flags.zpciErrors) : [],
  );
  const chain = copyOut(c.user, c.arg + BigInt(vfio_device_info.size), caps.chain);
  if (!chain.ok) return chain;
  const written = c.respond({
    ...(caps.present && { argsz: caps.argsz }),
    flags: VFIO_DEVICE_FLAGS_PCI | reset | (caps.present ? VFIO_DEVICE_FLAGS_CAPS : 0),
    num_regions: VFIO_PCI_NUM_REGIONS,
    num_irqs: VFIO_PCI_NUM_IRQS,
    cap_offset: caps.capOffset,
    pad: 0,
  });
  return written.ok ? ok(0) : written;
}
