/**
 * What a VFIO device says about itself: device, regions, interrupts, and the capabilities of those replies.
 * Numbers 0x3b6b..0x3b6d.
 *
 * Words: a *region* is a window of the device fd (a BAR, config space, ...); an *index* names a region or a kind of
 * interrupt. Capability chains are built and read by caps.ts.
 */
import { flexible, nested, struct, u16, u32, u64 } from './codec.js';
import { ioctl } from './ioctl.js';
import { range, tailRoom } from './metadata.js';

/** Head of every capability; `next` counts from the start of the info struct. */
export const vfio_info_cap_header = struct('vfio_info_cap_header', 8, {
  id: u16(0),
  version: u16(2),
  next: u32(4),
});

/** `flags` of VFIO_DEVICE_GET_INFO. */
export const VFIO_DEVICE_FLAGS_RESET = 1;
export const VFIO_DEVICE_FLAGS_PCI = 2;
export const VFIO_DEVICE_FLAGS_PLATFORM = 4;
export const VFIO_DEVICE_FLAGS_AMBA = 8;
export const VFIO_DEVICE_FLAGS_CCW = 0x10;
export const VFIO_DEVICE_FLAGS_AP = 0x20;
export const VFIO_DEVICE_FLAGS_FSL_MC = 0x40;
export const VFIO_DEVICE_FLAGS_CAPS = 0x80;
export const VFIO_DEVICE_FLAGS_CDX = 0x100;

/** Names of the device APIs, as sysfs shows them for mediated devices. */
export const VFIO_DEVICE_API_PCI_STRING = 'vfio-pci';
export const VFIO_DEVICE_API_PLATFORM_STRING = 'vfio-platform';
export const VFIO_DEVICE_API_AMBA_STRING = 'vfio-amba';
export const VFIO_DEVICE_API_CCW_STRING = 'vfio-ccw';
export const VFIO_DEVICE_API_AP_STRING = 'vfio-ap';

export const vfio_device_info = struct('vfio_device_info', 24, {
  argsz: u32(0),
  flags: u32(4),
  num_regions: u32(8),
  num_irqs: u32(12),
  cap_offset: u32(16),
  pad: u32(20),
});

export const VFIO_DEVICE_GET_INFO = ioctl({
  name: 'VFIO_DEVICE_GET_INFO',
  nr: 0x3b6b,
  fd: 'device',
  struct: vfio_device_info,
  minSize: 16,
  copyBack: 'struct',
  memory: (cmd, { arg }) => [
    range('capabilities', arg + BigInt(vfio_device_info.size), tailRoom(cmd.argsz, vfio_device_info.size), 'out'),
  ],
});

/** Capability of VFIO_DEVICE_GET_INFO: widths of PCI atomics the root port completes. (1 to 4: vfio-zdev.ts.) */
export const VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP = 5;
export const VFIO_PCI_ATOMIC_COMP32 = 1;
export const VFIO_PCI_ATOMIC_COMP64 = 2;
export const VFIO_PCI_ATOMIC_COMP128 = 4;

export const vfio_device_info_cap_pci_atomic_comp = struct('vfio_device_info_cap_pci_atomic_comp', 16, {
  header: nested(0, vfio_info_cap_header),
  flags: u32(8),
  reserved: u32(12),
});

/** `flags` of VFIO_DEVICE_GET_REGION_INFO. */
export const VFIO_REGION_INFO_FLAG_READ = 1;
export const VFIO_REGION_INFO_FLAG_WRITE = 2;
export const VFIO_REGION_INFO_FLAG_MMAP = 4;
export const VFIO_REGION_INFO_FLAG_CAPS = 8;

/** Region indexes of vfio-pci; device-specific regions start at VFIO_PCI_NUM_REGIONS. */
export const VFIO_PCI_BAR0_REGION_INDEX = 0;
export const VFIO_PCI_BAR1_REGION_INDEX = 1;
export const VFIO_PCI_BAR2_REGION_INDEX = 2;
export const VFIO_PCI_BAR3_REGION_INDEX = 3;
export const VFIO_PCI_BAR4_REGION_INDEX = 4;
export const VFIO_PCI_BAR5_REGION_INDEX = 5;
export const VFIO_PCI_ROM_REGION_INDEX = 6;
export const VFIO_PCI_CONFIG_REGION_INDEX = 7;
export const VFIO_PCI_VGA_REGION_INDEX = 8;
export const VFIO_PCI_NUM_REGIONS = 9;

/** Interrupt indexes of vfio-pci. */
export const VFIO_PCI_INTX_IRQ_INDEX = 0;
export const VFIO_PCI_MSI_IRQ_INDEX = 1;
export const VFIO_PCI_MSIX_IRQ_INDEX = 2;
export const VFIO_PCI_ERR_IRQ_INDEX = 3;
export const VFIO_PCI_REQ_IRQ_INDEX = 4;
export const VFIO_PCI_NUM_IRQS = 5;

/** Interrupt indexes of vfio-ap. */
export const VFIO_AP_REQ_IRQ_INDEX = 0;
export const VFIO_AP_CFG_CHG_IRQ_INDEX = 1;
export const VFIO_AP_NUM_IRQS = 2;

export const vfio_region_info = struct('vfio_region_info', 32, {
  argsz: u32(0),
  flags: u32(4),
  index: u32(8),
  cap_offset: u32(12),
  size: u64(16),
  offset: u64(24),
});

export const VFIO_DEVICE_GET_REGION_INFO = ioctl({
  name: 'VFIO_DEVICE_GET_REGION_INFO',
  nr: 0x3b6c,
  fd: 'device',
  struct: vfio_region_info,
  minSize: 32,
  copyBack: 'struct',
  memory: (cmd, { arg }) => [
    range('capabilities', arg + BigInt(vfio_region_info.size), tailRoom(cmd.argsz, vfio_region_info.size), 'out'),
  ],
});

/** Capabilities of VFIO_DEVICE_GET_REGION_INFO. The NVLink2 ones are numbers only: no driver offers them any more. */
export const VFIO_REGION_INFO_CAP_SPARSE_MMAP = 1;
export const VFIO_REGION_INFO_CAP_TYPE = 2;
export const VFIO_REGION_INFO_CAP_MSIX_MAPPABLE = 3;
export const VFIO_REGION_INFO_CAP_NVLINK2_SSATGT = 4;
export const VFIO_REGION_INFO_CAP_NVLINK2_LNKSPD = 5;

export const vfio_region_sparse_mmap_area = struct('vfio_region_sparse_mmap_area', 16, {
  offset: u64(0),
  size: u64(8),
});

/** Which parts of the region can be mapped. */
export const vfio_region_info_cap_sparse_mmap = struct(
  'vfio_region_info_cap_sparse_mmap',
  16,
  {
    header: nested(0, vfio_info_cap_header),
    nr_areas: u32(8),
    reserved: u32(12),
  },
  flexible('areas', 16, vfio_region_sparse_mmap_area),
);

/** What a device-specific region is. Types with bit 31 are a PCI vendor's own. */
export const VFIO_REGION_TYPE_PCI_VENDOR_TYPE = 0x8000_0000;
export const VFIO_REGION_TYPE_PCI_VENDOR_MASK = 0xffff;
export const VFIO_REGION_TYPE_GFX = 1;
export const VFIO_REGION_TYPE_CCW = 2;
export const VFIO_REGION_TYPE_MIGRATION_DEPRECATED = 3;
export const VFIO_REGION_SUBTYPE_INTEL_IGD_OPREGION = 1;
export const VFIO_REGION_SUBTYPE_INTEL_IGD_HOST_CFG = 2;
export const VFIO_REGION_SUBTYPE_INTEL_IGD_LPC_CFG = 3;
export const VFIO_REGION_SUBTYPE_NVIDIA_NVLINK2_RAM = 1;
export const VFIO_REGION_SUBTYPE_IBM_NVLINK2_ATSD = 1;
export const VFIO_REGION_SUBTYPE_GFX_EDID = 1;
export const VFIO_REGION_SUBTYPE_MIGRATION_DEPRECATED = 1;

export const vfio_region_info_cap_type = struct('vfio_region_info_cap_type', 16, {
  header: nested(0, vfio_info_cap_header),
  type: u32(8),
  subtype: u32(12),
});

export const vfio_region_info_cap_nvlink2_ssatgt = struct('vfio_region_info_cap_nvlink2_ssatgt', 16, {
  header: nested(0, vfio_info_cap_header),
  tgt: u64(8),
});

export const vfio_region_info_cap_nvlink2_lnkspd = struct('vfio_region_info_cap_nvlink2_lnkspd', 16, {
  header: nested(0, vfio_info_cap_header),
  link_speed: u32(8),
  __pad: u32(12),
});

export const VFIO_DEVICE_GFX_LINK_STATE_UP = 1;
export const VFIO_DEVICE_GFX_LINK_STATE_DOWN = 2;

/** Head of a virtual display's EDID region. */
export const vfio_region_gfx_edid = struct('vfio_region_gfx_edid', 24, {
  edid_offset: u32(0),
  edid_max_size: u32(4),
  edid_size: u32(8),
  max_xres: u32(12),
  max_yres: u32(16),
  link_state: u32(20),
});

/** `flags` of VFIO_DEVICE_GET_IRQ_INFO. */
export const VFIO_IRQ_INFO_EVENTFD = 1;
export const VFIO_IRQ_INFO_MASKABLE = 2;
export const VFIO_IRQ_INFO_AUTOMASKED = 4;
export const VFIO_IRQ_INFO_NORESIZE = 8;

export const vfio_irq_info = struct('vfio_irq_info', 16, {
  argsz: u32(0),
  flags: u32(4),
  index: u32(8),
  count: u32(12),
});

export const VFIO_DEVICE_GET_IRQ_INFO = ioctl({
  name: 'VFIO_DEVICE_GET_IRQ_INFO',
  nr: 0x3b6d,
  fd: 'device',
  struct: vfio_irq_info,
  minSize: 16,
  copyBack: 'struct',
});
