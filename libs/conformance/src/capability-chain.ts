/**
 * Capability chains behind VFIO info structs, decoded as traces print them.
 *
 * Rule: a chain that leaves the buffer or does not move on is not decoded: its bytes are printed instead. Of one that is not
 * announced (its first offset is 0) nothing is printed, whatever was written there.
 */
import {
  decode,
  decodeArray,
  VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
  VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION,
  VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
  VFIO_REGION_INFO_CAP_MSIX_MAPPABLE,
  vfio_info_cap_header,
  vfio_iommu_type1_info,
  vfio_iommu_type1_info_cap_iova_range,
  vfio_iommu_type1_info_cap_migration,
  vfio_iommu_type1_info_dma_avail,
  vfio_iova_range,
  vfio_region_info,
} from '@vfiolab/uapi';
import type { Json } from './trace.js';

/** More links than any info has. */
const MAX_LINKS = 16;

const hex = (value: bigint): string => `0x${value.toString(16)}`;

interface Printer {
  readonly name: string;
  print(bytes: Uint8Array, at: number): Record<string, Json>;
}

const CONTAINER: ReadonlyMap<number, Printer> = new Map([
  [
    VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION,
    {
      name: 'MIGRATION',
      print: (bytes, at) => {
        const c = decode(vfio_iommu_type1_info_cap_migration, bytes, at);
        return {
          flags: c.flags,
          pgsize_bitmap: hex(c.pgsize_bitmap),
          max_dirty_bitmap_size: hex(c.max_dirty_bitmap_size),
        };
      },
    },
  ],
  [
    VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
    { name: 'DMA_AVAIL', print: (bytes, at) => ({ avail: decode(vfio_iommu_type1_info_dma_avail, bytes, at).avail }) },
  ],
  [VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, { name: 'IOVA_RANGE', print: printRanges }],
]);

function printRanges(bytes: Uint8Array, at: number): Record<string, Json> {
  const { nr_iovas } = decode(vfio_iommu_type1_info_cap_iova_range, bytes, at);
  const first = at + vfio_iommu_type1_info_cap_iova_range.size;
  const room = Math.max(0, Math.floor((bytes.length - first) / vfio_iova_range.size));
  const ranges = decodeArray(vfio_iova_range, bytes, first, Math.min(nr_iovas, room));
  return { ranges: ranges.map(({ start, end }) => ({ start: hex(start), end: hex(end) })) };
}

const REGION: ReadonlyMap<number, Printer> = new Map([
  [VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, { name: 'MSIX_MAPPABLE', print: () => ({}) }],
]);

/** Capabilities of the struct at the start of `bytes`; undefined when it can carry none, or not these. */
export function capabilityChain(struct: string, bytes: Uint8Array): Json[] | undefined {
  if (struct === vfio_iommu_type1_info.name)
    return walk(bytes, decode(vfio_iommu_type1_info, bytes).cap_offset, CONTAINER);
  if (struct === vfio_region_info.name) return walk(bytes, decode(vfio_region_info, bytes).cap_offset, REGION);
  return undefined;
}

function walk(bytes: Uint8Array, first: number, printers: ReadonlyMap<number, Printer>): Json[] | undefined {
  const found: Json[] = [];
  for (let at = first; at !== 0 && found.length < MAX_LINKS;) {
    if (at + vfio_info_cap_header.size > bytes.length) return undefined;
    const { id, version, next } = decode(vfio_info_cap_header, bytes, at);
    const printer = printers.get(id);
    found.push({
      id,
      version,
      offset: at,
      next,
      ...(printer && { name: printer.name, ...printer.print(bytes, at) }),
    });
    at = next;
  }
  return found;
}
