/** VFIO_IOMMU_SPAPR_TCE_GET_INFO: the default window, and for v2 which other windows there can be. */
import type { IoctlCall, IoctlResult } from '@vfiolab/core';
import { ok, type StructOf, VFIO_IOMMU_SPAPR_INFO_DDW, vfio_iommu_spapr_tce_info } from '@vfiolab/uapi';
import type { Spapr } from '../spapr.js';

const NO_WINDOWS = { pgsizes: 0n, max_dynamic_windows_supported: 0, levels: 0 };

/** EINVAL: argsz; EFAULT; ENXIO: no group. */
export function getInfo(
  call: IoctlCall<Spapr, typeof vfio_iommu_spapr_tce_info>,
  { argsz, ddw }: StructOf<typeof vfio_iommu_spapr_tce_info>,
): IoctlResult {
  const { v2, platform } = call.file;
  const { pageSizes, windows, levels, start, size } = platform;
  const offered = v2 ? { pgsizes: pageSizes, max_dynamic_windows_supported: windows, levels } : NO_WINDOWS;
  const told = call.respond({
    argsz,
    flags: v2 ? VFIO_IOMMU_SPAPR_INFO_DDW : 0,
    dma32_window_start: start,
    dma32_window_size: size,
    // A caller with room for a part of it gets nothing of it (trace p016).
    ddw: argsz < vfio_iommu_spapr_tce_info.size ? ddw : offered,
  });
  return told.ok ? ok(0) : told;
}
