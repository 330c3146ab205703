/** VFIO_DEVICE_GET_INFO and VFIO_DEVICE_GET_REGION_INFO of a serial card (trace b095). */
import type { IoctlResult } from '@vfiolab/core';
import {
  fail,
  ok,
  type StructOf,
  VFIO_DEVICE_FLAGS_PCI,
  VFIO_PCI_BAR0_REGION_INDEX,
  VFIO_PCI_BAR1_REGION_INDEX,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_NUM_IRQS,
  VFIO_PCI_NUM_REGIONS,
  type vfio_device_info,
  VFIO_REGION_INFO_FLAG_READ,
  VFIO_REGION_INFO_FLAG_WRITE,
  type vfio_region_info,
} from '@vfiolab/uapi';
import type { DeviceCall } from '../device-call.js';
import { regionOffset } from '../regions.js';
import type { SerialCard } from './serial-card.js';
import { CONFIG_BYTES } from './serial-config.js';

const BAR_BYTES = 8;

export function getInfo(c: DeviceCall<typeof vfio_device_info, SerialCard>): IoctlResult {
  c.file.device.told = true;
  const counts = { num_regions: VFIO_PCI_NUM_REGIONS, num_irqs: VFIO_PCI_NUM_IRQS };
  const told = c.respond({ flags: VFIO_DEVICE_FLAGS_PCI, ...counts });
  return told.ok ? ok(0) : told;
}

type RegionInfo = typeof vfio_region_info;

/** Every region is there, most of them with no size. EINVAL: none of PCI's. */
export function getRegionInfo(c: DeviceCall<RegionInfo, SerialCard>, { index }: StructOf<RegionInfo>): IoctlResult {
  if (index >= VFIO_PCI_NUM_REGIONS) return fail('EINVAL');
  const told = c.respond({
    flags: VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE,
    size: BigInt(sizeOf(index, c.file.device.facts.ports)),
    offset: regionOffset(index),
  });
  return told.ok ? ok(0) : told;
}

function sizeOf(index: number, ports: number): number {
  if (index === VFIO_PCI_CONFIG_REGION_INDEX) return CONFIG_BYTES;
  const bars = ports === 2 ? VFIO_PCI_BAR1_REGION_INDEX : VFIO_PCI_BAR0_REGION_INDEX;
  return index <= bars ? BAR_BYTES : 0;
}
