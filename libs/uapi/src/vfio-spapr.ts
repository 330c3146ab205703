/**
 * VFIO containers with the SPAPR TCE backend (POWER): DMA windows, registered memory and EEH. Numbers 0x3b70 and
 * 0x3b73..0x3b79, several of which type1 and device fds use for other things. Version 1 has ENABLE/DISABLE, version 2
 * the registration and window ioctls.
 */
import { nested, struct, u32, u64 } from './codec.js';
import { ioctl, plainIoctl } from './ioctl.js';
import { range } from './metadata.js';

/** `flags` of VFIO_IOMMU_SPAPR_TCE_GET_INFO: `ddw` is filled. */
export const VFIO_IOMMU_SPAPR_INFO_DDW = 1;

/** Dynamic DMA windows the platform offers. */
export const vfio_iommu_spapr_tce_ddw_info = struct('vfio_iommu_spapr_tce_ddw_info', 16, {
  pgsizes: u64(0),
  max_dynamic_windows_supported: u32(8),
  levels: u32(12),
});

export const vfio_iommu_spapr_tce_info = struct('vfio_iommu_spapr_tce_info', 32, {
  argsz: u32(0),
  flags: u32(4),
  dma32_window_start: u32(8),
  dma32_window_size: u32(12),
  ddw: nested(16, vfio_iommu_spapr_tce_ddw_info),
});

export const VFIO_IOMMU_SPAPR_TCE_GET_INFO = ioctl({
  name: 'VFIO_IOMMU_SPAPR_TCE_GET_INFO',
  nr: 0x3b70,
  fd: 'spapr',
  struct: vfio_iommu_spapr_tce_info,
  minSize: 16,
  copyBack: 'struct',
});

export const VFIO_IOMMU_ENABLE = plainIoctl({ name: 'VFIO_IOMMU_ENABLE', nr: 0x3b73, fd: 'spapr', arg: 'none' });

export const VFIO_IOMMU_DISABLE = plainIoctl({ name: 'VFIO_IOMMU_DISABLE', nr: 0x3b74, fd: 'spapr', arg: 'none' });

/** Also the argument of VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY. */
export const vfio_iommu_spapr_register_memory = struct('vfio_iommu_spapr_register_memory', 24, {
  argsz: u32(0),
  flags: u32(4),
  vaddr: u64(8),
  size: u64(16),
});

export const VFIO_IOMMU_SPAPR_REGISTER_MEMORY = ioctl({
  name: 'VFIO_IOMMU_SPAPR_REGISTER_MEMORY',
  nr: 0x3b75,
  fd: 'spapr',
  struct: vfio_iommu_spapr_register_memory,
  minSize: 24,
  memory: (cmd) => [range('vaddr', cmd.vaddr, cmd.size, 'pin')],
});

export const VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY = ioctl({
  name: 'VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY',
  nr: 0x3b76,
  fd: 'spapr',
  struct: vfio_iommu_spapr_register_memory,
  minSize: 24,
});

export const vfio_iommu_spapr_tce_create = struct('vfio_iommu_spapr_tce_create', 40, {
  argsz: u32(0),
  flags: u32(4),
  page_shift: u32(8),
  __resv1: u32(12),
  window_size: u64(16),
  levels: u32(24),
  __resv2: u32(28),
  start_addr: u64(32),
});

export const VFIO_IOMMU_SPAPR_TCE_CREATE = ioctl({
  name: 'VFIO_IOMMU_SPAPR_TCE_CREATE',
  nr: 0x3b77,
  fd: 'spapr',
  struct: vfio_iommu_spapr_tce_create,
  minSize: 40,
  copyBack: 'struct',
});

export const vfio_iommu_spapr_tce_remove = struct('vfio_iommu_spapr_tce_remove', 16, {
  argsz: u32(0),
  flags: u32(4),
  start_addr: u64(8),
});

export const VFIO_IOMMU_SPAPR_TCE_REMOVE = ioctl({
  name: 'VFIO_IOMMU_SPAPR_TCE_REMOVE',
  nr: 0x3b78,
  fd: 'spapr',
  struct: vfio_iommu_spapr_tce_remove,
  minSize: 16,
});

/** `op` of VFIO_EEH_PE_OP, and the states GET_STATE gives as the ioctl's result. */
export const VFIO_EEH_PE_DISABLE = 0;
export const VFIO_EEH_PE_ENABLE = 1;
export const VFIO_EEH_PE_UNFREEZE_IO = 2;
export const VFIO_EEH_PE_UNFREEZE_DMA = 3;
export const VFIO_EEH_PE_GET_STATE = 4;
export const VFIO_EEH_PE_STATE_NORMAL = 0;
export const VFIO_EEH_PE_STATE_RESET = 1;
export const VFIO_EEH_PE_STATE_STOPPED = 2;
export const VFIO_EEH_PE_STATE_STOPPED_DMA = 4;
export const VFIO_EEH_PE_STATE_UNAVAIL = 5;
export const VFIO_EEH_PE_RESET_DEACTIVATE = 5;
export const VFIO_EEH_PE_RESET_HOT = 6;
export const VFIO_EEH_PE_RESET_FUNDAMENTAL = 7;
export const VFIO_EEH_PE_CONFIGURE = 8;
export const VFIO_EEH_PE_INJECT_ERR = 9;

export const vfio_eeh_pe_err = struct('vfio_eeh_pe_err', 24, {
  type: u32(0),
  func: u32(4),
  addr: u64(8),
  mask: u64(16),
});

/** `err` is meant by INJECT_ERR only. */
export const vfio_eeh_pe_op = struct('vfio_eeh_pe_op', 40, {
  argsz: u32(0),
  flags: u32(4),
  op: u32(8),
  err: nested(16, vfio_eeh_pe_err),
});

/** A container without any PE answers ENODEV before it looks at the argument (traces p060, p061). */
export const VFIO_EEH_PE_OP = ioctl({
  name: 'VFIO_EEH_PE_OP',
  nr: 0x3b79,
  fd: 'spapr',
  struct: vfio_eeh_pe_op,
  minSize: 12,
  extension: { size: 40, when: (cmd) => cmd.flags === 0 && cmd.op === VFIO_EEH_PE_INJECT_ERR },
});
