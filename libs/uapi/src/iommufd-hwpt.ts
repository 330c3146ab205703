/**
 * iommufd, hardware page tables (HWPT): allocation, hardware description, dirty tracking, invalidation and page faults.
 * Numbers 0x3b89..0x3b8e.
 *
 * The one rule: what a driver's own data looks like is in iommufd-driver.ts; here it is only a pointer and a length.
 */
import { bytes, struct, u32, u64, u8 } from './codec.js';
import { ioctl } from './ioctl.js';
import { bitmapBytes, fdAt, range } from './metadata.js';

/** `flags` of IOMMU_HWPT_ALLOC. */
export const IOMMU_HWPT_ALLOC_NEST_PARENT = 1;
export const IOMMU_HWPT_ALLOC_DIRTY_TRACKING = 2;
export const IOMMU_HWPT_FAULT_ID_VALID = 4;
export const IOMMU_HWPT_ALLOC_PASID = 8;

/** `data_type` of IOMMU_HWPT_ALLOC. */
export const IOMMU_HWPT_DATA_NONE = 0;
export const IOMMU_HWPT_DATA_VTD_S1 = 1;
export const IOMMU_HWPT_DATA_ARM_SMMUV3 = 2;
export const IOMMU_HWPT_DATA_AMD_GUEST = 3;

export const iommu_hwpt_alloc = struct('iommu_hwpt_alloc', 48, {
  size: u32(0),
  flags: u32(4),
  dev_id: u32(8),
  pt_id: u32(12),
  out_hwpt_id: u32(16),
  __reserved: u32(20),
  data_type: u32(24),
  data_len: u32(28),
  data_uptr: u64(32),
  fault_id: u32(40),
  __reserved2: u32(44),
});

/** Makes a page table: kernel-managed from an IOAS, or user-managed (nested) from a parent HWPT or a vIOMMU. */
export const IOMMU_HWPT_ALLOC = ioctl({
  name: 'IOMMU_HWPT_ALLOC',
  nr: 0x3b89,
  fd: 'iommufd',
  struct: iommu_hwpt_alloc,
  minSize: 24,
  copyBack: 'struct',
  memory: (cmd) => [range('data_uptr', cmd.data_uptr, cmd.data_len, 'in')],
});

/** `in_data_type` and `out_data_type` of IOMMU_GET_HW_INFO. */
export const IOMMU_HW_INFO_TYPE_NONE = 0;
export const IOMMU_HW_INFO_TYPE_DEFAULT = 0;
export const IOMMU_HW_INFO_TYPE_INTEL_VTD = 1;
export const IOMMU_HW_INFO_TYPE_ARM_SMMUV3 = 2;
export const IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV = 3;
export const IOMMU_HW_INFO_TYPE_AMD = 4;

/** Bits of `out_capabilities`. */
export const IOMMU_HW_CAP_DIRTY_TRACKING = 1;
export const IOMMU_HW_CAP_PCI_PASID_EXEC = 2;
export const IOMMU_HW_CAP_PCI_PASID_PRIV = 4;
export const IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED = 8;

/** `flags` of IOMMU_GET_HW_INFO: the caller names the kind of data it wants in `in_data_type`. */
export const IOMMU_HW_INFO_FLAG_INPUT_TYPE = 1;

/** `in_data_type` and `out_data_type` are one word: asked for on the way in, given on the way out. */
export const iommu_hw_info = struct('iommu_hw_info', 40, {
  size: u32(0),
  flags: u32(4),
  dev_id: u32(8),
  data_len: u32(12),
  data_uptr: u64(16),
  in_data_type: u32(24),
  out_data_type: u32(24),
  out_max_pasid_log2: u8(28),
  __reserved: bytes(29, 3),
  out_capabilities: u64(32),
});

/** Describes the IOMMU behind a bound device. A short buffer is filled as far as it goes; data_len returns the full length. */
export const IOMMU_GET_HW_INFO = ioctl({
  name: 'IOMMU_GET_HW_INFO',
  nr: 0x3b8a,
  fd: 'iommufd',
  struct: iommu_hw_info,
  minSize: 32,
  copyBack: 'struct',
  memory: (cmd) => [range('data_uptr', cmd.data_uptr, cmd.data_len, 'out')],
});

export const IOMMU_HWPT_DIRTY_TRACKING_ENABLE = 1;

export const iommu_hwpt_set_dirty_tracking = struct('iommu_hwpt_set_dirty_tracking', 16, {
  size: u32(0),
  flags: u32(4),
  hwpt_id: u32(8),
  __reserved: u32(12),
});

/** Turns dirty tracking of a page table on or off. */
export const IOMMU_HWPT_SET_DIRTY_TRACKING = ioctl({
  name: 'IOMMU_HWPT_SET_DIRTY_TRACKING',
  nr: 0x3b8b,
  fd: 'iommufd',
  struct: iommu_hwpt_set_dirty_tracking,
  minSize: 16,
});

export const IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR = 1;

export const iommu_hwpt_get_dirty_bitmap = struct('iommu_hwpt_get_dirty_bitmap', 48, {
  size: u32(0),
  hwpt_id: u32(4),
  flags: u32(8),
  __reserved: u32(12),
  iova: u64(16),
  length: u64(24),
  page_size: u64(32),
  data: u64(40),
});

/** Adds the dirty bits of a range to the caller's bitmap: one bit per page_size, bit 0 is `iova`. */
export const IOMMU_HWPT_GET_DIRTY_BITMAP = ioctl({
  name: 'IOMMU_HWPT_GET_DIRTY_BITMAP',
  nr: 0x3b8c,
  fd: 'iommufd',
  struct: iommu_hwpt_get_dirty_bitmap,
  minSize: 48,
  memory: (cmd) => [range('data', cmd.data, bitmapBytes(cmd.length, cmd.page_size), 'inout')],
});

/** `data_type` of IOMMU_HWPT_INVALIDATE. */
export const IOMMU_HWPT_INVALIDATE_DATA_VTD_S1 = 0;
export const IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3 = 1;

/** Caps of one IOMMU_HWPT_INVALIDATE call: bytes an entry, entries. */
export const IOMMU_HWPT_INVALIDATE_ENTRY_LEN_MAX = 4096;
export const IOMMU_HWPT_INVALIDATE_ENTRY_NUM_MAX = 524_288;

export const iommu_hwpt_invalidate = struct('iommu_hwpt_invalidate', 32, {
  size: u32(0),
  hwpt_id: u32(4),
  data_uptr: u64(8),
  data_type: u32(16),
  entry_len: u32(20),
  entry_num: u32(24),
  __reserved: u32(28),
});

/** Runs cache invalidations of a nested page table or a vIOMMU. Copies back on failure too: entry_num says how many ran. */
export const IOMMU_HWPT_INVALIDATE = ioctl({
  name: 'IOMMU_HWPT_INVALIDATE',
  nr: 0x3b8d,
  fd: 'iommufd',
  struct: iommu_hwpt_invalidate,
  minSize: 32,
  copyBack: 'struct',
  copyBackOnFailure: true,
  memory: (cmd) => [range('data_uptr', cmd.data_uptr, cmd.entry_num * cmd.entry_len, 'in')],
});

/** `flags` of a fault record. */
export const IOMMU_PGFAULT_FLAGS_PASID_VALID = 1;
export const IOMMU_PGFAULT_FLAGS_LAST_PAGE = 2;

/** `perm` of a fault record. */
export const IOMMU_PGFAULT_PERM_READ = 1;
export const IOMMU_PGFAULT_PERM_WRITE = 2;
export const IOMMU_PGFAULT_PERM_EXEC = 4;
export const IOMMU_PGFAULT_PERM_PRIV = 8;

/** What read(2) on a fault fd gives, once per fault; groups are never split. */
export const iommu_hwpt_pgfault = struct('iommu_hwpt_pgfault', 40, {
  flags: u32(0),
  dev_id: u32(4),
  pasid: u32(8),
  grpid: u32(12),
  perm: u32(16),
  __reserved: u32(20),
  addr: u64(24),
  length: u32(32),
  cookie: u32(36),
});

/** `code` of a response. */
export const IOMMUFD_PAGE_RESP_SUCCESS = 0;
export const IOMMUFD_PAGE_RESP_INVALID = 1;

/** What write(2) on a fault fd takes. */
export const iommu_hwpt_page_response = struct('iommu_hwpt_page_response', 8, {
  cookie: u32(0),
  code: u32(4),
});

export const iommu_fault_alloc = struct('iommu_fault_alloc', 16, {
  size: u32(0),
  flags: u32(4),
  out_fault_id: u32(8),
  out_fault_fd: u32(12),
});

/** Makes a page-fault queue and its fd. */
export const IOMMU_FAULT_QUEUE_ALLOC = ioctl({
  name: 'IOMMU_FAULT_QUEUE_ALLOC',
  nr: 0x3b8e,
  fd: 'iommufd',
  struct: iommu_fault_alloc,
  minSize: 16,
  copyBack: 'struct',
  fds: () => [fdAt(12, 'out')],
});
