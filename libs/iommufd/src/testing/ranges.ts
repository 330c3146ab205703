/** Lists of struct iommu_iova_range as bytes, and back. */
import { iommu_iova_range, decode, encodeArray } from '@vfiolab/uapi';

/** Start and last. */
export type Range = readonly [bigint, bigint];

export const bytesOf = (ranges: readonly Range[]): Uint8Array =>
  encodeArray(
    iommu_iova_range,
    ranges.map(([start, last]) => ({ start, last })),
  );

export const rangesIn = (bytes: Uint8Array): Range[] =>
  Array.from({ length: bytes.length / iommu_iova_range.size }, (_, i) => {
    const { start, last } = decode(iommu_iova_range, bytes.subarray(i * iommu_iova_range.size));
    return [start, last];
  });
