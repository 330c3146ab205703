/**
 * iommufd, native: objects and IO address spaces (IOAS). Numbers 0x3b80..0x3b88, 0x3b8f, 0x3b92, 0x3b95.
 *
 * Words: an *IOVA* is an address as a device sees it; `last` is inclusive. Every struct starts with its own size.
 * Flag and reserved bits the kernel does not know are EOPNOTSUPP, checked by the handler, not here.
 */
import { s32, struct, u16, u32, u64 } from './codec.js';
import { ioctl } from './ioctl.js';
import { fdAt, range } from './metadata.js';

export const iommu_destroy = struct('iommu_destroy', 8, {
  size: u32(0),
  id: u32(4),
});

/** Destroys any object the caller owns, by id. */
export const IOMMU_DESTROY = ioctl({
  name: 'IOMMU_DESTROY',
  nr: 0x3b80,
  fd: 'iommufd',
  struct: iommu_destroy,
  minSize: 8,
});

export const iommu_ioas_alloc = struct('iommu_ioas_alloc', 12, {
  size: u32(0),
  flags: u32(4),
  out_ioas_id: u32(8),
});

/** Makes an empty IO address space. */
export const IOMMU_IOAS_ALLOC = ioctl({
  name: 'IOMMU_IOAS_ALLOC',
  nr: 0x3b81,
  fd: 'iommufd',
  struct: iommu_ioas_alloc,
  minSize: 12,
  copyBack: 'struct',
});

export const iommu_iova_range = struct('iommu_iova_range', 16, {
  start: u64(0),
  last: u64(8),
});

export const iommu_ioas_allow_iovas = struct('iommu_ioas_allow_iovas', 24, {
  size: u32(0),
  ioas_id: u32(4),
  num_iovas: u32(8),
  __reserved: u32(12),
  allowed_iovas: u64(16),
});

/** Replaces the list of IOVA ranges that must stay mappable. */
export const IOMMU_IOAS_ALLOW_IOVAS = ioctl({
  name: 'IOMMU_IOAS_ALLOW_IOVAS',
  nr: 0x3b82,
  fd: 'iommufd',
  struct: iommu_ioas_allow_iovas,
  minSize: 24,
  memory: (cmd) => [range('allowed_iovas', cmd.allowed_iovas, cmd.num_iovas * iommu_iova_range.size, 'in')],
});

export const iommu_ioas_copy = struct('iommu_ioas_copy', 40, {
  size: u32(0),
  flags: u32(4),
  dst_ioas_id: u32(8),
  src_ioas_id: u32(12),
  length: u64(16),
  dst_iova: u64(24),
  src_iova: u64(32),
});

/** Maps in one IOAS what another has mapped, sharing its pins. Flags: those of IOMMU_IOAS_MAP. */
export const IOMMU_IOAS_COPY = ioctl({
  name: 'IOMMU_IOAS_COPY',
  nr: 0x3b83,
  fd: 'iommufd',
  struct: iommu_ioas_copy,
  minSize: 40,
  copyBack: 'struct',
});

export const iommu_ioas_iova_ranges = struct('iommu_ioas_iova_ranges', 32, {
  size: u32(0),
  ioas_id: u32(4),
  num_iovas: u32(8),
  __reserved: u32(12),
  allowed_iovas: u64(16),
  out_iova_alignment: u64(24),
});

/** Reports the usable IOVA ranges and the alignment. Copies back on EMSGSIZE too: num_iovas then says how many there are. */
export const IOMMU_IOAS_IOVA_RANGES = ioctl({
  name: 'IOMMU_IOAS_IOVA_RANGES',
  nr: 0x3b84,
  fd: 'iommufd',
  struct: iommu_ioas_iova_ranges,
  minSize: 32,
  copyBack: 'struct',
  copyBackOnFailure: true,
  memory: (cmd) => [range('allowed_iovas', cmd.allowed_iovas, cmd.num_iovas * iommu_iova_range.size, 'out')],
});

export const IOMMU_IOAS_MAP_FIXED_IOVA = 1;
export const IOMMU_IOAS_MAP_WRITEABLE = 2;
export const IOMMU_IOAS_MAP_READABLE = 4;

export const iommu_ioas_map = struct('iommu_ioas_map', 40, {
  size: u32(0),
  flags: u32(4),
  ioas_id: u32(8),
  __reserved: u32(12),
  user_va: u64(16),
  length: u64(24),
  iova: u64(32),
});

/** Maps the caller's memory. */
export const IOMMU_IOAS_MAP = ioctl({
  name: 'IOMMU_IOAS_MAP',
  nr: 0x3b85,
  fd: 'iommufd',
  struct: iommu_ioas_map,
  minSize: 40,
  copyBack: 'struct',
  memory: (cmd) => [range('user_va', cmd.user_va, cmd.length, 'pin')],
});

export const iommu_ioas_unmap = struct('iommu_ioas_unmap', 24, {
  size: u32(0),
  ioas_id: u32(4),
  iova: u64(8),
  length: u64(16),
});

/** Unmaps whole areas; length comes back as the bytes removed. */
export const IOMMU_IOAS_UNMAP = ioctl({
  name: 'IOMMU_IOAS_UNMAP',
  nr: 0x3b86,
  fd: 'iommufd',
  struct: iommu_ioas_unmap,
  minSize: 24,
  copyBack: 'struct',
});

/** `option_id` of IOMMU_OPTION. */
export const IOMMU_OPTION_RLIMIT_MODE = 0;
export const IOMMU_OPTION_HUGE_PAGES = 1;

/** `op` of IOMMU_OPTION. */
export const IOMMU_OPTION_OP_SET = 0;
export const IOMMU_OPTION_OP_GET = 1;

export const iommu_option = struct('iommu_option', 24, {
  size: u32(0),
  option_id: u32(4),
  op: u16(8),
  __reserved: u16(10),
  object_id: u32(12),
  val64: u64(16),
});

/** Reads or sets one option of the context or of an IOAS. Only val64 is written back. */
export const IOMMU_OPTION = ioctl({
  name: 'IOMMU_OPTION',
  nr: 0x3b87,
  fd: 'iommufd',
  struct: iommu_option,
  minSize: 24,
  copyBack: [16, 24],
});

/** `op` of IOMMU_VFIO_IOAS. */
export const IOMMU_VFIO_IOAS_GET = 0;
export const IOMMU_VFIO_IOAS_SET = 1;
export const IOMMU_VFIO_IOAS_CLEAR = 2;

export const iommu_vfio_ioas = struct('iommu_vfio_ioas', 12, {
  size: u32(0),
  ioas_id: u32(4),
  op: u16(8),
  __reserved: u16(10),
});

/** Reads, sets or clears the IOAS behind the VFIO compatibility ioctls. */
export const IOMMU_VFIO_IOAS = ioctl({
  name: 'IOMMU_VFIO_IOAS',
  nr: 0x3b88,
  fd: 'iommufd',
  struct: iommu_vfio_ioas,
  minSize: 12,
  copyBack: 'struct',
});

export const iommu_ioas_map_file = struct('iommu_ioas_map_file', 40, {
  size: u32(0),
  flags: u32(4),
  ioas_id: u32(8),
  fd: s32(12),
  start: u64(16),
  length: u64(24),
  iova: u64(32),
});

/** Maps a range of a memfd or of a device's dma-buf. */
export const IOMMU_IOAS_MAP_FILE = ioctl({
  name: 'IOMMU_IOAS_MAP_FILE',
  nr: 0x3b8f,
  fd: 'iommufd',
  struct: iommu_ioas_map_file,
  minSize: 40,
  profiles: { '6.12': 'absent' },
  copyBack: 'struct',
  fds: () => [fdAt(12, 'in')],
});

export const iommu_ioas_change_process = struct('iommu_ioas_change_process', 8, {
  size: u32(0),
  __reserved: u32(4),
});

/** Moves the charges of all file-backed pins of the context to the caller. */
export const IOMMU_IOAS_CHANGE_PROCESS = ioctl({
  name: 'IOMMU_IOAS_CHANGE_PROCESS',
  nr: 0x3b92,
  fd: 'iommufd',
  struct: iommu_ioas_change_process,
  minSize: 8,
  profiles: { '6.12': 'absent' },
});

export const iommu_ioas_noiommu_get_pa = struct('iommu_ioas_noiommu_get_pa', 40, {
  size: u32(0),
  flags: u32(4),
  ioas_id: u32(8),
  __reserved: u32(12),
  iova: u64(16),
  length: u64(24),
  out_phys: u64(32),
});

/** Physical address behind an IOVA, for devices without an IOMMU. */
export const IOMMU_IOAS_NOIOMMU_GET_PA = ioctl({
  name: 'IOMMU_IOAS_NOIOMMU_GET_PA',
  nr: 0x3b95,
  fd: 'iommufd',
  struct: iommu_ioas_noiommu_get_pa,
  minSize: 40,
  profiles: { '6.12': 'absent', '7.2': 'absent' },
  copyBack: 'struct',
});

/** The ioctl type letter `;`, the same as VFIO's. */
export const IOMMUFD_TYPE = 59;
