/**
 * Page tables that IOMMUs walk: page sizes and apertures, as the kernel reports them.
 *
 * Words: the *aperture* is [first, last] in bytes; `pageSizes` has a bit per leaf size; a table of *stage* 1 translates what
 * a device says, one of stage 2 can also stand below a guest's own table.
 * Rule: the numbers are those of recorded kernels: traces b090 and b091 on VT-d (48 and 39 bits) and AMD-Vi, c001, c007 and
 * n002 on SMMUv3, p016 on POWER; virtio-iommu is QEMU's default for x86.
 */
import { MOCK, MOCK_AMD, MOCK_HUGE, MOCK_PAGES } from './mock.js';

/** log2 of the granule of every machine's IOMMU: pages of 4 KiB, as a frame of memory has. Only mock domains differ. */
export const GRANULE_BITS = 12;
export const GRANULE = 1 << GRANULE_BITS;

export interface Format {
  readonly name: string;
  /** log2 of the smallest leaf in bytes, as the lab writes it; a kernel may ask for none that is smaller than some of `pageSizes`. */
  readonly granule: number;
  /** First and last IOVA in bytes. */
  readonly first: bigint;
  readonly last: bigint;
  /** A bit for each leaf size in bytes. */
  readonly pageSizes: bigint;
  /** Largest leaf that is written, as a level of the table; by `pageSizes` when left out. */
  readonly topLevel?: number;
  /** Both halves of a page are one entry: see readDirtyPages. */
  readonly joinsHalves?: boolean;
  /** Entries that allow nothing can be written (SURPRISES 15). */
  readonly takesNoPermission?: boolean;
  /** An entry that may be written may be read too. */
  readonly writeImpliesRead?: boolean;
}

/** 4 KiB, 2 MiB and 1 GiB. */
const SIZES_4K_2M_1G = 0x40201000n;
const SIZES_64K_512M = 0x20010000n;
const BITS_48 = 0xffffffffffffn;
const ALL_64 = 0xffffffffffffffffn;

const format = (name: string, last: bigint, pageSizes: bigint, more: Partial<Format> = {}): Format => ({
  name,
  granule: GRANULE_BITS,
  first: 0n,
  last,
  pageSizes,
  ...more,
});

/** VT-d, second stage: 48 and 39 bits; 6.12 reads what may only be written (DIFF 18). */
export const VTD_48 = format('vtd-48', BITS_48, SIZES_4K_2M_1G);
export const VTD_39 = format('vtd-39', 0x7fffffffffn, SIZES_4K_2M_1G);
export const VTD_48_WRITE_READS = format('vtd-48-write-reads', BITS_48, SIZES_4K_2M_1G, { writeImpliesRead: true });
export const VTD_39_WRITE_READS = format('vtd-39-write-reads', 0x7fffffffffn, SIZES_4K_2M_1G, {
  writeImpliesRead: true,
});
/** VT-d, first stage: the lower half of 48 bits, as of a processor's table; presence alone allows reading. */
export const VTD_FIRST = format('vtd-first', 0x7fffffffffffn, SIZES_4K_2M_1G, { writeImpliesRead: true });
/** AMD-Vi v1: every power of two from 4 KiB on except 512 GiB, which is a level of its own (semantics C3; DIFF 18b). */
export const AMD_V1 = format('amd-v1', ALL_64, 0xfff7ffffff000n);
export const AMD_V1_48 = format('amd-v1-48', BITS_48, 0x7f7ffffff000n);
/** AMD-Vi v2: a processor's table. */
export const AMD_V2 = format('amd-v2', 0x7fffffffffffn, SIZES_4K_2M_1G, { writeImpliesRead: true });
/** SMMUv3: stage 1 reads what may be written, stage 2 does not (SURPRISES 76). */
export const SMMU_S1 = format('smmu-s1', BITS_48, SIZES_4K_2M_1G, { writeImpliesRead: true });
export const SMMU_S2 = format('smmu-s2', 0xfffffffffffn, SIZES_4K_2M_1G);
/** The same of a kernel with pages of 64 KiB, which chooses that granule: 64 KiB and 512 MiB (SURPRISES 72). */
export const SMMU_S1_64K = format('smmu-s1-64k', BITS_48, SIZES_64K_512M, { writeImpliesRead: true });
export const SMMU_S2_64K = format('smmu-s2-64k', 0xfffffffffffn, SIZES_64K_512M);
/** virtio-iommu takes any multiple of its granule. */
export const VIRTIO = format('virtio', ALL_64, 0xfffffffffffff000n);

/** s390: pages of 4 KiB in three levels of tables; an entry can only be protected against writing (semantics C3). */
export const S390 = format('s390', (1n << 42n) - 1n, 0x1000n, { writeImpliesRead: true });

/** No hardware's: AMD's format, in which the kernel keeps the memory of devices without an IOMMU (semantics A4.3). */
export const SOFTWARE = format('software', ALL_64, 0xfff7ffffff000n);

/** POWER's TCE tables: they reach wherever the platform puts a window, at 0 and at 2^59. */
const BITS_60 = (1n << 60n) - 1n;
export const TCE_POWERNV = format('tce-powernv', BITS_60, 0x40211000n);
export const TCE_PSERIES = format('tce-pseries', BITS_60, 0x1211000n);

const known: readonly Format[] = [
  TCE_POWERNV,
  TCE_PSERIES,
  S390,
  SOFTWARE,
  VTD_48,
  VTD_39,
  VTD_48_WRITE_READS,
  VTD_39_WRITE_READS,
  VTD_FIRST,
  AMD_V1,
  AMD_V1_48,
  AMD_V2,
  SMMU_S1,
  SMMU_S2,
  SMMU_S1_64K,
  SMMU_S2_64K,
  VIRTIO,
  MOCK,
  MOCK_HUGE,
  MOCK_AMD,
  MOCK_PAGES,
];
const byName = new Map(known.map((each) => [each.name, each]));

/** The format of that name, for snapshots. */
export const formatNamed = (name: string): Format | undefined => byName.get(name);

/** The largest leaf that the format has, as a level of the table: 9 bits each above the granule, up to level 2. */
export function topLevelOf({ granule, pageSizes, topLevel }: Format): number {
  if (topLevel !== undefined) return topLevel;
  let level = 0;
  while (level < 2 && pageSizes & (1n << BigInt(granule + 9 * (level + 1)))) level++;
  return level;
}

/** One past the last granule of the aperture. */
export const endPageOf = ({ granule, last }: Format): number => Number(last >> BigInt(granule)) + 1;
