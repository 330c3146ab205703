/** Flags of IOMMU_HWPT_ALLOC, as bits. */
export const NEST_PARENT = 1;
export const DIRTY_TRACKING = 2;
export const FAULT_ID_VALID = 4;
export const PASID_COMPATIBLE = 8;
