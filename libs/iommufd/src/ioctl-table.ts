/** The front door of /dev/iommu: one row an ioctl. A number without a row is ENOTTY. */
import {
  IOMMU_DESTROY,
  IOMMU_HWPT_ALLOC,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_ALLOW_IOVAS,
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_IOVA_RANGES,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_UNMAP,
  IOMMU_OPTION,
} from '@vfiolab/uapi';
import { frontDoor, row } from '@vfiolab/core';
import type { IommufdFile } from './ioctl/call.js';
import { destroy } from './ioctl/destroy.js';
import { hwptAlloc } from './ioctl/hwpt-alloc.js';
import { ioasAlloc } from './ioctl/ioas-alloc.js';
import { ioasAllowIovas } from './ioctl/ioas-allow-iovas.js';
import { ioasCopy } from './ioctl/ioas-copy.js';
import { ioasIovaRanges } from './ioctl/ioas-iova-ranges.js';
import { ioasMap } from './ioctl/ioas-map.js';
import { ioasUnmap } from './ioctl/ioas-unmap.js';
import { option } from './ioctl/option.js';

export const iommufdTable = frontDoor<IommufdFile>({
  IOMMU_DESTROY: row(IOMMU_DESTROY, destroy),
  IOMMU_IOAS_ALLOC: row(IOMMU_IOAS_ALLOC, ioasAlloc),
  IOMMU_IOAS_ALLOW_IOVAS: row(IOMMU_IOAS_ALLOW_IOVAS, ioasAllowIovas),
  IOMMU_IOAS_COPY: row(IOMMU_IOAS_COPY, ioasCopy),
  IOMMU_IOAS_IOVA_RANGES: row(IOMMU_IOAS_IOVA_RANGES, ioasIovaRanges),
  IOMMU_IOAS_MAP: row(IOMMU_IOAS_MAP, ioasMap),
  IOMMU_IOAS_UNMAP: row(IOMMU_IOAS_UNMAP, ioasUnmap),
  IOMMU_OPTION: row(IOMMU_OPTION, option),
  IOMMU_HWPT_ALLOC: row(IOMMU_HWPT_ALLOC, hwptAlloc),
});
