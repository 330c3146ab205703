/** The front door of /dev/iommu: one row an ioctl. A number without a row is ENOTTY. */
import {
  IOMMU_DESTROY,
  IOMMU_FAULT_QUEUE_ALLOC,
  IOMMU_GET_HW_INFO,
  IOMMU_HW_QUEUE_ALLOC,
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_GET_DIRTY_BITMAP,
  IOMMU_HWPT_INVALIDATE,
  IOMMU_HWPT_SET_DIRTY_TRACKING,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_ALLOW_IOVAS,
  IOMMU_IOAS_CHANGE_PROCESS,
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_IOVA_RANGES,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_FILE,
  IOMMU_IOAS_NOIOMMU_GET_PA,
  IOMMU_IOAS_UNMAP,
  IOMMU_OPTION,
  IOMMU_TEST_CMD,
  IOMMU_VDEVICE_ALLOC,
  IOMMU_VEVENTQ_ALLOC,
  IOMMU_VFIO_IOAS,
  IOMMU_VIOMMU_ALLOC,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
} from '@vfiolab/uapi';
import { frontDoor, row } from '@vfiolab/core';
import { mapDma, unmapDma } from './compat/dma.js';
import { getInfo } from './compat/get-info.js';
import type { IommufdFile } from './ioctl/call.js';
import { destroy } from './ioctl/destroy.js';
import { faultQueueAlloc } from './ioctl/fault-queue-alloc.js';
import { getHwInfo } from './ioctl/get-hw-info.js';
import { hwptAlloc } from './ioctl/hwpt-alloc.js';
import { getDirtyBitmap, setDirtyTracking } from './ioctl/hwpt-dirty.js';
import { hwptInvalidate } from './ioctl/hwpt-invalidate.js';
import { ioasAlloc } from './ioctl/ioas-alloc.js';
import { ioasAllowIovas } from './ioctl/ioas-allow-iovas.js';
import { ioasChangeProcess } from './ioctl/ioas-change-process.js';
import { ioasCopy } from './ioctl/ioas-copy.js';
import { ioasIovaRanges } from './ioctl/ioas-iova-ranges.js';
import { ioasMap } from './ioctl/ioas-map.js';
import { ioasMapFile } from './ioctl/ioas-map-file.js';
import { ioasNoiommuGetPa } from './ioctl/ioas-noiommu-get-pa.js';
import { ioasUnmap } from './ioctl/ioas-unmap.js';
import { option } from './ioctl/option.js';
import { testCmd } from './ioctl/test-cmd.js';
import { hwQueueAlloc } from './ioctl/hw-queue-alloc.js';
import { vdeviceAlloc } from './ioctl/vdevice-alloc.js';
import { veventqAlloc } from './ioctl/veventq-alloc.js';
import { viommuAlloc } from './ioctl/viommu-alloc.js';
import { vfioIoas } from './ioctl/vfio-ioas.js';

export const iommufdTable = frontDoor<IommufdFile>({
  IOMMU_DESTROY: row(IOMMU_DESTROY, destroy),
  IOMMU_IOAS_ALLOC: row(IOMMU_IOAS_ALLOC, ioasAlloc),
  IOMMU_IOAS_ALLOW_IOVAS: row(IOMMU_IOAS_ALLOW_IOVAS, ioasAllowIovas),
  IOMMU_IOAS_CHANGE_PROCESS: row(IOMMU_IOAS_CHANGE_PROCESS, ioasChangeProcess),
  IOMMU_IOAS_COPY: row(IOMMU_IOAS_COPY, ioasCopy),
  IOMMU_IOAS_IOVA_RANGES: row(IOMMU_IOAS_IOVA_RANGES, ioasIovaRanges),
  IOMMU_IOAS_MAP_FILE: row(IOMMU_IOAS_MAP_FILE, ioasMapFile),
  IOMMU_IOAS_NOIOMMU_GET_PA: row(IOMMU_IOAS_NOIOMMU_GET_PA, ioasNoiommuGetPa),
  IOMMU_IOAS_MAP: row(IOMMU_IOAS_MAP, ioasMap),
  IOMMU_IOAS_UNMAP: row(IOMMU_IOAS_UNMAP, ioasUnmap),
  IOMMU_OPTION: row(IOMMU_OPTION, option),
  IOMMU_VFIO_IOAS: row(IOMMU_VFIO_IOAS, vfioIoas),
  IOMMU_HWPT_ALLOC: row(IOMMU_HWPT_ALLOC, hwptAlloc),
  IOMMU_GET_HW_INFO: row(IOMMU_GET_HW_INFO, getHwInfo),
  IOMMU_HWPT_SET_DIRTY_TRACKING: row(IOMMU_HWPT_SET_DIRTY_TRACKING, setDirtyTracking),
  IOMMU_HWPT_GET_DIRTY_BITMAP: row(IOMMU_HWPT_GET_DIRTY_BITMAP, getDirtyBitmap),
  IOMMU_HWPT_INVALIDATE: row(IOMMU_HWPT_INVALIDATE, hwptInvalidate),
  IOMMU_FAULT_QUEUE_ALLOC: row(IOMMU_FAULT_QUEUE_ALLOC, faultQueueAlloc),
  IOMMU_VIOMMU_ALLOC: row(IOMMU_VIOMMU_ALLOC, viommuAlloc),
  IOMMU_VDEVICE_ALLOC: row(IOMMU_VDEVICE_ALLOC, vdeviceAlloc),
  IOMMU_VEVENTQ_ALLOC: row(IOMMU_VEVENTQ_ALLOC, veventqAlloc),
  IOMMU_HW_QUEUE_ALLOC: row(IOMMU_HW_QUEUE_ALLOC, hwQueueAlloc),
  IOMMU_TEST_CMD: row(IOMMU_TEST_CMD, testCmd),
  VFIO_IOMMU_GET_INFO: row(VFIO_IOMMU_GET_INFO, getInfo),
  VFIO_IOMMU_MAP_DMA: row(VFIO_IOMMU_MAP_DMA, mapDma),
  VFIO_IOMMU_UNMAP_DMA: row(VFIO_IOMMU_UNMAP_DMA, unmapDma),
});
