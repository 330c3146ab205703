/**
 * What DMA windows a platform of POWER gives to a group, and what their tables cost. [arch/powerpc/platforms]
 *
 * Words: a *TCE* (translation control entry) is one page of a window; a *table* holds a window's TCEs, maybe in *levels*. A
 * window is entries [first, first + entries) of IOMMU pages of 2^pageShift bytes, counted from bus address 0.
 * Rule: pure functions. Shifts and sizes are computed as the kernel's unsigned numbers do, since callers can ask for anything.
 */
import type { Result } from '@vfiolab/uapi';

/** As VFIO_IOMMU_SPAPR_TCE_CREATE has it: u32, u64 in bytes, u32. */
export interface WindowRequest {
  readonly pageShift: number;
  readonly size: bigint;
  readonly levels: number;
}

export interface WindowPlace {
  readonly pageShift: number;
  readonly first: number;
  readonly entries: number;
}

/**
 * What the platform looks at when it makes a window. `pageShift`: of the kernel; `others`: the container's windows; `failed`: it
 * has answered ENODEV for this group before.
 */
export interface Circumstances {
  readonly slot: number;
  readonly pageShift: number;
  readonly others: readonly WindowPlace[];
  readonly failed: boolean;
}

export interface TcePlatform {
  /** The default window, in bytes. */
  readonly start: number;
  readonly size: number;
  /** A bit for each size of IOMMU pages. */
  readonly pageSizes: bigint;
  readonly windows: number;
  readonly levels: number;
  /** Errors of a PE stop it and can be recovered from (enhanced error handling). */
  readonly eeh: boolean;
  /** A TCE cannot be written and not read. */
  readonly writeImpliesRead: boolean;
  /** A window can be shared by the groups of a container. */
  readonly sharesWindows: boolean;
  /** Bytes of table that are charged before the window is made; 0: refused (EINVAL). */
  tableBytes(request: WindowRequest, kernelPageShift: number): bigint;
  /** EINVAL, EPERM, ENOMEM; ENODEV: the firmware refuses, and will go on to do so. */
  place(request: WindowRequest, where: Circumstances): Result<WindowPlace>;
}

const U32 = 0xffff_ffff;
export const u32 = (n: number): number => n >>> 0;

/** 1 << n and a >> n of u64: the machine looks at 7 bits of n, and 64 or more shift everything out. */
export const bit = (n: number): bigint => ((n & 127) > 63 ? 0n : 1n << BigInt(n & 127));
export const shiftRight = (a: bigint, n: number): bigint => ((n & 127) > 63 ? 0n : a >> BigInt(n & 127));

export const isPowerOfTwo = (n: bigint): boolean => n !== 0n && (n & (n - 1n)) === 0n;

/** ilog2 of a u64, as a u32. */
export const log2 = (n: bigint): number => (n === 0n ? U32 : n.toString(2).length - 1);

/** Is the size of IOMMU pages offered? */
export const offersPages = ({ pageSizes }: TcePlatform, pageShift: number): boolean =>
  (pageSizes & bit(pageShift)) !== 0n;

export const windowStart = ({ first, pageShift }: WindowPlace): bigint => BigInt(first) << BigInt(pageShift);

/** Entry of a bus address in the window; undefined: it lies outside. */
export function entryOf({ pageShift, first, entries }: WindowPlace, address: bigint): number | undefined {
  const entry = Number(address >> BigInt(pageShift));
  return entry >= first && entry < first + entries ? entry : undefined;
}
