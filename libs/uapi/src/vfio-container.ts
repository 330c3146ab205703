/**
 * VFIO container fds (/dev/vfio/vfio, the legacy way in), before a backend is chosen. Numbers 0x3b64..0x3b66.
 *
 * Words: a *container* holds groups and, once an IOMMU backend is chosen, their DMA mappings; a *group* is the set of
 * devices the IOMMU cannot tell apart (vfio-group.ts). An iommufd answers the container's numbers too (compatibility).
 */
import { plainIoctl } from './ioctl.js';

export const VFIO_API_VERSION = 0;

/** Backends and features: the argument of VFIO_CHECK_EXTENSION, and of VFIO_SET_IOMMU for those that end in _IOMMU. */
export const VFIO_TYPE1_IOMMU = 1;
export const VFIO_SPAPR_TCE_IOMMU = 2;
export const VFIO_TYPE1v2_IOMMU = 3;
export const VFIO_DMA_CC_IOMMU = 4;
export const VFIO_EEH = 5;

/** Nested type1. 6.12 still calls it VFIO_TYPE1_NESTING_IOMMU and reports it. */
export const __VFIO_RESERVED_TYPE1_NESTING_IOMMU = 6;
export const VFIO_SPAPR_TCE_v2_IOMMU = 7;
export const VFIO_NOIOMMU_IOMMU = 8;
export const VFIO_UNMAP_ALL = 9;
export const VFIO_UPDATE_VADDR = 10;

/** The ioctl type letter `;` and the first VFIO number: a request is (type << 8) | number. */
export const VFIO_TYPE = 59;
export const VFIO_BASE = 100;

export const VFIO_GET_API_VERSION = plainIoctl({
  name: 'VFIO_GET_API_VERSION',
  nr: 0x3b64,
  fd: 'container',
  arg: 'none',
});

export const VFIO_CHECK_EXTENSION = plainIoctl({
  name: 'VFIO_CHECK_EXTENSION',
  nr: 0x3b65,
  fd: 'container',
  arg: 'value',
});

export const VFIO_SET_IOMMU = plainIoctl({
  name: 'VFIO_SET_IOMMU',
  nr: 0x3b66,
  fd: 'container',
  arg: 'value',
});
