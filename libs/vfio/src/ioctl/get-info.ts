/**
 * VFIO_DEVICE_GET_INFO: what kind of device this is, and how many regions and interrupt indexes it has (trace b040). A
 * capability says which AtomicOps its root port completes; asking lets the function send them. A function of s390 says more of
 * itself (capability 103). [vfio_pci_core.c]
 */
import type { IoctlResult } from '@vfiolab/core';
import {
  capabilityReply,
  copyOut,
  ok,
  VFIO_DEVICE_FLAGS_CAPS,
  VFIO_DEVICE_FLAGS_PCI,
  VFIO_DEVICE_FLAGS_RESET,
  VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP,
  VFIO_PCI_NUM_IRQS,
  vfio_device_info,
} from '@vfiolab/uapi';
import type { DeviceCall } from '../device-call.js';
import { write32 } from '../little-endian.js';
import { regionCount } from '../regions.js';
import type { VfioDevice } from '../vfio-device.js';
import { zpciCapabilities } from '../zpci.js';

export function getInfo(c: DeviceCall<typeof vfio_device_info>): IoctlResult {
  const { device } = c.file;
  const reset = device.resetWorks ? VFIO_DEVICE_FLAGS_RESET : 0;
  const { facts, flags } = device;
  const own = facts.zpci ? zpciCapabilities(facts.bdf, flags.zpciErrors) : [];
  const caps = capabilityReply(vfio_device_info.size, c.userSize, [...own, ...atomicCaps(device)]);
  const chain = copyOut(c.user, c.arg + BigInt(vfio_device_info.size), caps.chain);
  if (!chain.ok) return chain;
  const written = c.respond({
    ...(caps.present && { argsz: caps.argsz }),
    flags: VFIO_DEVICE_FLAGS_PCI | reset | (caps.present ? VFIO_DEVICE_FLAGS_CAPS : 0),
    num_regions: regionCount(device),
    num_irqs: VFIO_PCI_NUM_IRQS,
    cap_offset: caps.capOffset,
    pad: 0,
  });
  return written.ok ? ok(0) : written;
}

/** A VF's AtomicOps are switched on at its PF. */
function atomicCaps({ facts, config }: VfioDevice) {
  if (facts.atomicOps === 0) return [];
  if (!facts.vf) config.allowAtomics();
  const body = new Uint8Array(8);
  write32(body, 0, facts.atomicOps);
  return [{ id: VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP, version: 1, body }];
}
