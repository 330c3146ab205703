/**
 * VFIO_DEVICE_GET_REGION_INFO: size, access and file offset of one region; the BAR with the MSI-X table says by a
 * capability that all of it may be mapped (semantics D2.3, traces b040, b041), a region that other functions have not says what it is.
 */
import type { IoctlResult } from '@vfiolab/core';
import {
  type Capability,
  capabilityReply,
  copyOut,
  fail,
  ok,
  type StructOf,
  VFIO_REGION_INFO_CAP_MSIX_MAPPABLE,
  VFIO_REGION_INFO_CAP_TYPE,
  VFIO_REGION_INFO_FLAG_CAPS,
  VFIO_REGION_TYPE_PCI_VENDOR_TYPE,
  vfio_region_info,
} from '@vfiolab/uapi';
import type { DeviceCall } from '../device-call.js';
import { write32 } from '../little-endian.js';
import { type OwnRegion, ownRegion, regionOffset, type RegionSize, regionSize } from '../regions.js';
import type { VfioDevice } from '../vfio-device.js';

type RegionInfo = typeof vfio_region_info;

const MSIX_MAPPABLE: Capability = { id: VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, version: 1, body: new Uint8Array(0) };

/** Who defined a region that only this device has, and its number there. */
function typeOf({ facts }: VfioDevice, { subtype }: OwnRegion): Capability {
  const body = new Uint8Array(8);
  write32(body, 0, (VFIO_REGION_TYPE_PCI_VENDOR_TYPE | facts.vendor) >>> 0);
  write32(body, 4, subtype);
  return { id: VFIO_REGION_INFO_CAP_TYPE, version: 1, body };
}

function capabilitiesOf(device: VfioDevice, index: number, { holdsMsixTable }: RegionSize): Capability[] {
  const own = ownRegion(device, index);
  return own ? [typeOf(device, own)] : holdsMsixTable ? [MSIX_MAPPABLE] : [];
}

export function getRegionInfo(c: DeviceCall<RegionInfo>, cmd: StructOf<RegionInfo>): IoctlResult {
  const { device } = c.file;
  const region = regionSize(device, cmd.index);
  if (!region) return fail('EINVAL');
  const caps = capabilityReply(vfio_region_info.size, c.userSize, capabilitiesOf(device, cmd.index, region));
  const chain = copyOut(c.user, c.arg + BigInt(vfio_region_info.size), caps.chain);
  if (!chain.ok) return chain;
  const written = c.respond({
    argsz: caps.argsz,
    flags: region.flags | (caps.present ? VFIO_REGION_INFO_FLAG_CAPS : 0),
    cap_offset: caps.capOffset,
    size: BigInt(region.size),
    offset: regionOffset(cmd.index),
  });
  return written.ok ? ok(0) : written;
}
