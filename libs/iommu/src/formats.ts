/**
 * IOMMU kinds: page sizes, apertures and reserved regions, as the kernel reports them.
 *
 * Words: a *kind* names the IOMMU of a host; the *aperture* is [0, last] in bytes; `pageSizes` has a bit per leaf size.
 * Rule: the numbers are those of recorded kernels: traces b090 and b091 on VT-d (48 and 39 bits) and AMD-Vi, c001 and
 * c007 on SMMUv3; virtio-iommu is QEMU's default for x86. A kind that is not listed translates nothing, and every DMA
 * under it is refused.
 */
import type { ReservedRegion } from '@vfiolab/core';
import { MOCK, MOCK_AMD, MOCK_HUGE, MOCK_PAGES } from './mock.js';

/** log2 of the granule of every machine's IOMMU: pages of 4 KiB, as a frame of memory has. Only mock domains differ. */
export const GRANULE_BITS = 12;
export const GRANULE = 1 << GRANULE_BITS;

export interface Format {
  readonly name: string;
  /** log2 of the smallest leaf in bytes. */
  readonly granule: number;
  /** First and last IOVA in bytes. */
  readonly first: bigint;
  readonly last: bigint;
  /** A bit for each leaf size in bytes. */
  readonly pageSizes: bigint;
  /** IOMMU_HWPT_ALLOC flags that the driver takes. */
  readonly flags: number;
  /** Domain ids that the hardware can tell apart; id 0 is the hardware's own. */
  readonly domainIds: number;
  readonly reserved: readonly ReservedRegion[];
  /** Largest leaf that is written, as a level of the table; by `pageSizes` when left out. */
  readonly topLevel?: number;
  /** Both halves of a page are one entry: see readDirtyPages. */
  readonly joinsHalves?: boolean;
  /** Entries that allow nothing can be written (SURPRISES 15). */
  readonly takesNoPermission?: boolean;
  /** What IOMMU_GET_HW_INFO hands out; type 0 and no bytes when the driver has nothing to say. */
  readonly info: { readonly type: number; readonly data: Uint8Array };
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

/** A driver that has nothing to say. */
export const NO_INFO: Format['info'] = { type: 0, data: new Uint8Array(0) };
/** hw_info of VT-d: {u32 flags, u32 0, u64 CAP, u64 ECAP}. Bit 0 of the flags: an erratum that nest parents must know. */
const vtdInfo = (cap: bigint, ecap: bigint): Format['info'] => {
  const data = new Uint8Array(24);
  const view = new DataView(data.buffer);
  view.setUint32(0, 1, true);
  view.setBigUint64(8, cap, true);
  view.setBigUint64(16, ecap, true);
  return { type: 1, data };
};
const VTD_ECAP = 0xf00f4an;

interface Facts {
  readonly last: bigint;
  readonly pageSizes: bigint;
  readonly reserved: readonly ReservedRegion[];
  readonly info?: Format['info'];
}
const format = (name: string, { info = NO_INFO, ...facts }: Facts): [string, Format] => [
  name,
  { name, granule: GRANULE_BITS, first: 0n, flags: 0, domainIds: ID_LIMIT_16_BIT, info, ...facts },
];

const formats: ReadonlyMap<string, Format> = new Map([
  format('intel-vtd', {
    last: 0xffffffffffffn,
    pageSizes: SIZES_4K_2M_1G,
    reserved: [X86_MSI],
    info: vtdInfo(0xd2008c222f0606n, VTD_ECAP),
  }),
  format('intel-vtd-39', {
    last: 0x7fffffffffn,
    pageSizes: SIZES_4K_2M_1G,
    reserved: [X86_MSI],
    info: vtdInfo(0xd2008c22260206n, VTD_ECAP),
  }),
  format('amd-vi', { last: 0xffffffffffffffffn, pageSizes: SIZES_AMD_V1, reserved: [X86_MSI, HYPERTRANSPORT] }),
  format('arm-smmu-v3', { last: 0xffffffffffffn, pageSizes: SIZES_4K_2M_1G, reserved: [ARM_SW_MSI] }),
  format('virtio-iommu', { last: 0xffffffffffffffffn, pageSizes: SIZES_VIRTIO, reserved: [X86_MSI] }),
  [MOCK.name, MOCK],
  [MOCK_HUGE.name, MOCK_HUGE],
  [MOCK_AMD.name, MOCK_AMD],
  [MOCK_PAGES.name, MOCK_PAGES],
]);

/** The format of a kind; undefined for hosts without an IOMMU ('none') and kinds that nobody wrote down here. */
export const formatOf = (kind: string): Format | undefined => formats.get(kind);

/** The largest leaf that the format has, as a level of the table: 9 bits each above the granule, up to level 2. */
export function topLevelOf({ granule, pageSizes, topLevel }: Format): number {
  if (topLevel !== undefined) return topLevel;
  let level = 0;
  while (level < 2 && pageSizes & (1n << BigInt(granule + 9 * (level + 1)))) level++;
  return level;
}

/** One past the last granule of the aperture. */
export const endPageOf = ({ granule, last }: Format): number => Number(last >> BigInt(granule)) + 1;
