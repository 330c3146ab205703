/**
 * iommufd, data of the IOMMU drivers: what `data_uptr` points at for Intel VT-d, Arm SMMUv3, Tegra241 CMDQV and AMD.
 *
 * The one rule: a blob shorter or longer than its struct is EINVAL; arrays of entries follow the zero-tail rule instead
 * (E2BIG). Both are the handler's, because only it knows the type.
 */
import { struct, u32, u32s, u64, u64s, u8 } from './codec.js';

/** Flags of a VT-d first-stage table. */
export const IOMMU_VTD_S1_SRE = 1;
export const IOMMU_VTD_S1_EAFE = 2;
export const IOMMU_VTD_S1_WPE = 4;

export const iommu_hwpt_vtd_s1 = struct('iommu_hwpt_vtd_s1', 24, {
  flags: u64(0),
  pgtbl_addr: u64(8),
  addr_width: u32(16),
  __reserved: u32(20),
});

/** The two words of a stream table entry the guest may set. */
export const iommu_hwpt_arm_smmuv3 = struct('iommu_hwpt_arm_smmuv3', 16, {
  ste: u64s(0, 2),
});

/** A guest's device table entry. */
export const iommu_hwpt_amd_guest = struct('iommu_hwpt_amd_guest', 32, {
  dte: u64s(0, 4),
});

export const IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17 = 1;

export const iommu_hw_info_vtd = struct('iommu_hw_info_vtd', 24, {
  flags: u32(0),
  __reserved: u32(4),
  cap_reg: u64(8),
  ecap_reg: u64(16),
});

export const IOMMU_HW_INFO_ARM_SMMUV3_ERRATA_REPEAT_TLBI_CFGI = 1;

export const iommu_hw_info_arm_smmuv3 = struct('iommu_hw_info_arm_smmuv3', 40, {
  flags: u32(0),
  __reserved: u32(4),
  idr: u32s(8, 6),
  iidr: u32(32),
  aidr: u32(36),
});

export const iommu_hw_info_tegra241_cmdqv = struct('iommu_hw_info_tegra241_cmdqv', 8, {
  flags: u32(0),
  version: u8(4),
  log2vcmdqs: u8(5),
  log2vsids: u8(6),
  __reserved: u8(7),
});

export const iommu_hw_info_amd = struct('iommu_hw_info_amd', 16, {
  efr: u64(0),
  efr2: u64(8),
});

export const IOMMU_VTD_INV_FLAGS_LEAF = 1;

/** One VT-d invalidation; npages of U64_MAX is everything. */
export const iommu_hwpt_vtd_s1_invalidate = struct('iommu_hwpt_vtd_s1_invalidate', 24, {
  addr: u64(0),
  npages: u64(8),
  flags: u32(16),
  __reserved: u32(20),
});

/** One SMMUv3 command. */
export const iommu_viommu_arm_smmuv3_invalidate = struct('iommu_viommu_arm_smmuv3_invalidate', 16, {
  cmd: u64s(0, 2),
});

export const iommu_viommu_tegra241_cmdqv = struct('iommu_viommu_tegra241_cmdqv', 16, {
  out_vintf_mmap_offset: u64(0),
  out_vintf_mmap_length: u64(8),
});

/** Event payloads. */
export const iommu_vevent_arm_smmuv3 = struct('iommu_vevent_arm_smmuv3', 32, {
  evt: u64s(0, 4),
});

export const iommu_vevent_tegra241_cmdqv = struct('iommu_vevent_tegra241_cmdqv', 16, {
  lvcmdq_err_map: u64s(0, 2),
});
