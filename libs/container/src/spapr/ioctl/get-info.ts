/** VFIO_IOMMU_SPAPR_TCE_GET_INFO: the default window, and for v2 which other windows there can be. */
import type { IoctlCall, IoctlResult } from '@vfiolab/core';
import {
  copyOut,
  encode,
  ok,
  type StructOf,
  VFIO_IOMMU_SPAPR_INFO_DDW,
  vfio_iommu_spapr_tce_info,
} from '@vfiolab/uapi';
import type { Spapr } from '../spapr.js';

/** Bytes without what is told of other windows. */
const SHORT = 16;
const NO_WINDOWS = { pgsizes: 0n, max_dynamic_windows_supported: 0, levels: 0 };

/** EINVAL: argsz; EFAULT; ENXIO: no group. A caller with room for a part of what is told of windows gets nothing of it (p016). */
export function getInfo(
  { file, user, arg }: IoctlCall<Spapr, typeof vfio_iommu_spapr_tce_info>,
  { argsz }: StructOf<typeof vfio_iommu_spapr_tce_info>,
): IoctlResult {
  const { pageSizes, windows, levels, start, size } = file.platform;
  const info = encode(vfio_iommu_spapr_tce_info, {
    argsz,
    flags: file.v2 ? VFIO_IOMMU_SPAPR_INFO_DDW : 0,
    dma32_window_start: start,
    dma32_window_size: size,
    ddw: file.v2 ? { pgsizes: pageSizes, max_dynamic_windows_supported: windows, levels } : NO_WINDOWS,
  });
  const length = argsz < info.length ? SHORT : info.length;
  const told = copyOut(user, arg, info.subarray(0, length));
  return told.ok ? ok(0) : told;
}
