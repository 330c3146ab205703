/**
 * VFIO containers with the type1 backend (VT-d, AMD-Vi, SMMU, ...), and iommufd's imitation of it. Numbers 0x3b70..0x3b72
 * and 0x3b75. SPAPR containers map and unmap with the same two ioctls; their other numbers mean something else.
 */
import { decode, flexible, nested, struct, u32, u64, u8_element } from './codec.js';
import type { UserRange } from './ioctl.js';
import { ioctl } from './ioctl.js';
import { range, tailRoom } from './metadata.js';
import { vfio_info_cap_header } from './vfio-info.js';

/** `flags` of VFIO_IOMMU_GET_INFO. */
export const VFIO_IOMMU_INFO_PGSIZES = 1;
export const VFIO_IOMMU_INFO_CAPS = 2;

export const vfio_iommu_type1_info = struct('vfio_iommu_type1_info', 24, {
  argsz: u32(0),
  flags: u32(4),
  iova_pgsizes: u64(8),
  cap_offset: u32(16),
  pad: u32(20),
});

export const VFIO_IOMMU_GET_INFO = ioctl({
  name: 'VFIO_IOMMU_GET_INFO',
  nr: 0x3b70,
  fd: 'container',
  struct: vfio_iommu_type1_info,
  minSize: 16,
  copyBack: 'struct',
  memory: (cmd, { arg }) => [
    range(
      'capabilities',
      arg + BigInt(vfio_iommu_type1_info.size),
      tailRoom(cmd.argsz, vfio_iommu_type1_info.size),
      'out',
    ),
  ],
});

/** Capabilities of VFIO_IOMMU_GET_INFO. */
export const VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE = 1;
export const VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION = 2;
export const VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL = 3;

/** `end` is inclusive here, whatever its name says. */
export const vfio_iova_range = struct('vfio_iova_range', 16, {
  start: u64(0),
  end: u64(8),
});

export const vfio_iommu_type1_info_cap_iova_range = struct(
  'vfio_iommu_type1_info_cap_iova_range',
  16,
  {
    header: nested(0, vfio_info_cap_header),
    nr_iovas: u32(8),
    reserved: u32(12),
  },
  flexible('iova_ranges', 16, vfio_iova_range),
);

export const vfio_iommu_type1_info_cap_migration = struct('vfio_iommu_type1_info_cap_migration', 32, {
  header: nested(0, vfio_info_cap_header),
  flags: u32(8),
  pgsize_bitmap: u64(16),
  max_dirty_bitmap_size: u64(24),
});

/** Mappings that can still be made. */
export const vfio_iommu_type1_info_dma_avail = struct('vfio_iommu_type1_info_dma_avail', 12, {
  header: nested(0, vfio_info_cap_header),
  avail: u32(8),
});

/** `flags` of VFIO_IOMMU_MAP_DMA. */
export const VFIO_DMA_MAP_FLAG_READ = 1;
export const VFIO_DMA_MAP_FLAG_WRITE = 2;
export const VFIO_DMA_MAP_FLAG_VADDR = 4;

export const vfio_iommu_type1_dma_map = struct('vfio_iommu_type1_dma_map', 32, {
  argsz: u32(0),
  flags: u32(4),
  vaddr: u64(8),
  iova: u64(16),
  size: u64(24),
});

export const VFIO_IOMMU_MAP_DMA = ioctl({
  name: 'VFIO_IOMMU_MAP_DMA',
  nr: 0x3b71,
  fd: 'container',
  struct: vfio_iommu_type1_dma_map,
  minSize: 32,
  memory: (cmd) => [range('vaddr', cmd.vaddr, cmd.size, 'pin')],
});

/** `flags` of VFIO_IOMMU_UNMAP_DMA. */
export const VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP = 1;
export const VFIO_DMA_UNMAP_FLAG_ALL = 2;
export const VFIO_DMA_UNMAP_FLAG_VADDR = 4;

/** A bitmap of `size` bytes, one bit for each pgsize. */
export const vfio_bitmap = struct('vfio_bitmap', 24, {
  pgsize: u64(0),
  size: u64(8),
  data: u64(16),
});

export const vfio_iommu_type1_dma_unmap = struct(
  'vfio_iommu_type1_dma_unmap',
  24,
  {
    argsz: u32(0),
    flags: u32(4),
    iova: u64(8),
    size: u64(16),
  },
  flexible('data', 24, u8_element),
);

/** Unmaps; `size` comes back as the bytes removed, from an iommufd also when it fails halfway (trace b070). */
export const VFIO_IOMMU_UNMAP_DMA = ioctl({
  name: 'VFIO_IOMMU_UNMAP_DMA',
  nr: 0x3b72,
  fd: 'container',
  struct: vfio_iommu_type1_dma_unmap,
  minSize: 24,
  copyBack: 'struct',
  copyBackOnFailure: true,
  memory: (cmd, { arg, tail }): UserRange[] => {
    if (!(cmd.flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP)) return [];
    const data = range('data', arg + BigInt(vfio_iommu_type1_dma_unmap.size), vfio_bitmap.size, 'in');
    return tail.length ? [data, bitmapRange(decode(vfio_bitmap, tail))] : [data];
  },
});

/** `flags` of VFIO_IOMMU_DIRTY_PAGES: exactly one. */
export const VFIO_IOMMU_DIRTY_PAGES_FLAG_START = 1;
export const VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP = 2;
export const VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP = 4;

export const vfio_iommu_type1_dirty_bitmap = struct(
  'vfio_iommu_type1_dirty_bitmap',
  8,
  {
    argsz: u32(0),
    flags: u32(4),
  },
  flexible('data', 8, u8_element),
);

/** What follows the struct for GET_BITMAP. */
export const vfio_iommu_type1_dirty_bitmap_get = struct('vfio_iommu_type1_dirty_bitmap_get', 40, {
  iova: u64(0),
  size: u64(8),
  bitmap: nested(16, vfio_bitmap),
});

export const VFIO_IOMMU_DIRTY_PAGES = ioctl({
  name: 'VFIO_IOMMU_DIRTY_PAGES',
  nr: 0x3b75,
  fd: 'container',
  struct: vfio_iommu_type1_dirty_bitmap,
  minSize: 8,
  memory: (cmd, { arg, tail }): UserRange[] => {
    if (!(cmd.flags & VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP)) return [];
    const at = arg + BigInt(vfio_iommu_type1_dirty_bitmap.size);
    const data = range('data', at, vfio_iommu_type1_dirty_bitmap_get.size, 'in');
    return tail.length ? [data, bitmapRange(decode(vfio_iommu_type1_dirty_bitmap_get, tail).bitmap)] : [data];
  },
});

/** Bits are added to what the caller has there. */
const bitmapRange = ({ data, size }: { data: bigint; size: bigint }): UserRange => range('bitmap', data, size, 'inout');
