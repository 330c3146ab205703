/**
 * iommufd, virtual IOMMUs: the slice of a physical IOMMU a guest gets, its devices, event queues and hardware queues.
 * Numbers 0x3b90, 0x3b91, 0x3b93, 0x3b94; none of them is in 6.12.
 *
 * The one rule: type 0 (DEFAULT) is never a valid type to ask for.
 */
import { struct, u32, u64 } from './codec.js';
import { ioctl } from './ioctl.js';
import { fdAt, range } from './metadata.js';

/** `type` of IOMMU_VIOMMU_ALLOC. */
export const IOMMU_VIOMMU_TYPE_DEFAULT = 0;
export const IOMMU_VIOMMU_TYPE_ARM_SMMUV3 = 1;
export const IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV = 2;

export const iommu_viommu_alloc = struct('iommu_viommu_alloc', 40, {
  size: u32(0),
  flags: u32(4),
  type: u32(8),
  dev_id: u32(12),
  hwpt_id: u32(16),
  out_viommu_id: u32(20),
  data_len: u32(24),
  __reserved: u32(28),
  data_uptr: u64(32),
});

/** Makes a vIOMMU on a nest-parent HWPT. The driver's data goes in and comes back. */
export const IOMMU_VIOMMU_ALLOC = ioctl({
  name: 'IOMMU_VIOMMU_ALLOC',
  nr: 0x3b90,
  fd: 'iommufd',
  struct: iommu_viommu_alloc,
  minSize: 24,
  profiles: { '6.12': 'absent' },
  copyBack: 'struct',
  memory: (cmd) => [range('data_uptr', cmd.data_uptr, cmd.data_len, 'inout')],
});

export const iommu_vdevice_alloc = struct('iommu_vdevice_alloc', 24, {
  size: u32(0),
  viommu_id: u32(4),
  dev_id: u32(8),
  out_vdevice_id: u32(12),
  virt_id: u64(16),
});

/** Gives a bound device its id inside a vIOMMU. */
export const IOMMU_VDEVICE_ALLOC = ioctl({
  name: 'IOMMU_VDEVICE_ALLOC',
  nr: 0x3b91,
  fd: 'iommufd',
  struct: iommu_vdevice_alloc,
  minSize: 24,
  profiles: { '6.12': 'absent' },
  copyBack: 'struct',
});

/** `flags` of an event header. */
export const IOMMU_VEVENTQ_FLAG_LOST_EVENTS = 1;

/** Head of each record read(2) gives on an event queue fd; the payload of the queue's type follows. */
export const iommufd_vevent_header = struct('iommufd_vevent_header', 8, {
  flags: u32(0),
  sequence: u32(4),
});

/** `type` of IOMMU_VEVENTQ_ALLOC. */
export const IOMMU_VEVENTQ_TYPE_DEFAULT = 0;
export const IOMMU_VEVENTQ_TYPE_ARM_SMMUV3 = 1;
export const IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV = 2;

/** Largest `veventq_depth`, in events. */
export const IOMMU_VEVENTQ_DEPTH_MAX = 524_288;

export const iommu_veventq_alloc = struct('iommu_veventq_alloc', 32, {
  size: u32(0),
  flags: u32(4),
  viommu_id: u32(8),
  type: u32(12),
  veventq_depth: u32(16),
  out_veventq_id: u32(20),
  out_veventq_fd: u32(24),
  __reserved: u32(28),
});

/** Makes an event queue of a vIOMMU and its read-only fd. */
export const IOMMU_VEVENTQ_ALLOC = ioctl({
  name: 'IOMMU_VEVENTQ_ALLOC',
  nr: 0x3b93,
  fd: 'iommufd',
  struct: iommu_veventq_alloc,
  minSize: 28,
  profiles: { '6.12': 'absent' },
  copyBack: 'struct',
  fds: () => [fdAt(24, 'out')],
});

/** `type` of IOMMU_HW_QUEUE_ALLOC. */
export const IOMMU_HW_QUEUE_TYPE_DEFAULT = 0;
export const IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV = 1;

export const iommu_hw_queue_alloc = struct('iommu_hw_queue_alloc', 40, {
  size: u32(0),
  flags: u32(4),
  viommu_id: u32(8),
  type: u32(12),
  index: u32(16),
  out_hw_queue_id: u32(20),
  nesting_parent_iova: u64(24),
  length: u64(32),
});

/** Lets the IOMMU use a guest's queue directly; its memory stays pinned and mapped. */
export const IOMMU_HW_QUEUE_ALLOC = ioctl({
  name: 'IOMMU_HW_QUEUE_ALLOC',
  nr: 0x3b94,
  fd: 'iommufd',
  struct: iommu_hw_queue_alloc,
  minSize: 40,
  profiles: { '6.12': 'absent' },
  copyBack: 'struct',
});
