/**
 * IOMMU kinds: page sizes, apertures and reserved regions, as the kernel reports them.
 *
 * Words: a *kind* names the IOMMU of a host; the *aperture* is [0, last] in bytes; `pageSizes` has a bit per leaf size.
 * Rule: the numbers are those of recorded kernels: traces b090 and b091 on VT-d (48 and 39 bits) and AMD-Vi, c001 and
 * c007 on SMMUv3; virtio-iommu is QEMU's default for x86. A kind that is not listed translates nothing, and every DMA
 * under it is refused.
 */
import type { ReservedRegion } from '@vfiolab/core';

/** log2 of the granule. Every kind here uses pages of 4 KiB, as a frame of memory has. */
export const GRANULE_BITS = 12;
export const GRANULE = 1 << GRANULE_BITS;

export interface Format {
  /** Last IOVA in bytes. */
  readonly last: bigint;
  /** A bit for each leaf size in bytes. */
  readonly pageSizes: bigint;
  /** IOMMU_HWPT_ALLOC flags that the driver takes. */
  readonly flags: number;
  /** Domain ids that the hardware can tell apart; id 0 is the hardware's own. */
  readonly domainIds: number;
  readonly reserved: readonly ReservedRegion[];
}

/** 4 KiB, 2 MiB and 1 GiB. */
const SIZES_4K_2M_1G = 0x40201000n;
/** AMD-Vi v1: every power of two from 4 KiB to 2^51 bytes except 512 GiB, which is a level of its own (semantics C3). */
const SIZES_AMD_V1 = 0xfff7ffffff000n;
/** virtio-iommu takes any multiple of its granule. */
const SIZES_VIRTIO = 0xfffffffffffff000n;
const ID_LIMIT_16_BIT = 65536;

const region = (start: bigint, last: bigint, type: ReservedRegion['type']): ReservedRegion => ({ start, last, type });
/** Writes here are interrupts on x86 (semantics C2.2). */
const X86_MSI = region(0xfee00000n, 0xfeefffffn, 'msi');
/** HyperTransport's window on AMD (semantics C2.2). */
const HYPERTRANSPORT = region(0xfd00000000n, 0xffffffffffn, 'reserved');
/** Where the kernel places doorbell pages on Arm (semantics C2.3). */
const ARM_SW_MSI = region(0x8000000n, 0x80fffffn, 'sw-msi');

const format = (last: bigint, pageSizes: bigint, ...reserved: ReservedRegion[]): Format => ({
  last,
  pageSizes,
  flags: 0,
  domainIds: ID_LIMIT_16_BIT,
  reserved,
});

const formats: ReadonlyMap<string, Format> = new Map([
  ['intel-vtd', format(0xffffffffffffn, SIZES_4K_2M_1G, X86_MSI)],
  ['intel-vtd-39', format(0x7fffffffffn, SIZES_4K_2M_1G, X86_MSI)],
  ['amd-vi', format(0xffffffffffffffffn, SIZES_AMD_V1, X86_MSI, HYPERTRANSPORT)],
  ['arm-smmu-v3', format(0xffffffffffffn, SIZES_4K_2M_1G, ARM_SW_MSI)],
  ['virtio-iommu', format(0xffffffffffffffffn, SIZES_VIRTIO, X86_MSI)],
]);

/** The format of a kind; undefined for hosts without an IOMMU ('none') and kinds that nobody wrote down here. */
export const formatOf = (kind: string): Format | undefined => formats.get(kind);
