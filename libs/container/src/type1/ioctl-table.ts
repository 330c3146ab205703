/** The front door of a type1 container: one row an ioctl. A number without a row is ENOTTY. */
import { VFIO_IOMMU_DIRTY_PAGES, VFIO_IOMMU_GET_INFO, VFIO_IOMMU_MAP_DMA, VFIO_IOMMU_UNMAP_DMA } from '@vfiolab/uapi';
import { frontDoor, row } from '@vfiolab/core';
import { dirtyPages } from './ioctl/dirty-pages.js';
import { getInfo } from './ioctl/get-info.js';
import { mapDma } from './ioctl/map-dma.js';
import { unmapDma } from './ioctl/unmap-dma.js';
import type { Type1 } from './type1.js';

export const type1Table = frontDoor<Type1>({
  VFIO_IOMMU_GET_INFO: row(VFIO_IOMMU_GET_INFO, getInfo),
  VFIO_IOMMU_MAP_DMA: row(VFIO_IOMMU_MAP_DMA, mapDma),
  VFIO_IOMMU_UNMAP_DMA: row(VFIO_IOMMU_UNMAP_DMA, unmapDma),
  VFIO_IOMMU_DIRTY_PAGES: row(VFIO_IOMMU_DIRTY_PAGES, dirtyPages),
});
