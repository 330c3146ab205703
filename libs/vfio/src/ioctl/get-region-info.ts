/**
 * VFIO_DEVICE_GET_REGION_INFO: size, access and file offset of one region; the BAR with the MSI-X table says by a
 * capability that all of it may be mapped (semantics D2.3, traces b040, b041).
 */
import type { IoctlResult } from '@vfiolab/core';
import {
  capabilityReply,
  copyOut,
  fail,
  ok,
  type StructOf,
  VFIO_REGION_INFO_CAP_MSIX_MAPPABLE,
  VFIO_REGION_INFO_FLAG_CAPS,
  vfio_region_info,
} from '@vfiolab/uapi';
import type { DeviceCall } from '../device-call.js';
import { regionOffset, regionSize } from '../regions.js';

type RegionInfo = typeof vfio_region_info;

const MSIX_MAPPABLE = [{ id: VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, version: 1, body: new Uint8Array(0) }];

export function getRegionInfo(c: DeviceCall<RegionInfo>, cmd: StructOf<RegionInfo>): IoctlResult {
  const region = regionSize(c.file.device, cmd.index);
  if (!region) return fail('EINVAL');
  const caps = capabilityReply(vfio_region_info.size, c.userSize, region.holdsMsixTable ? MSIX_MAPPABLE : []);
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
