/**
 * From the IOVAs of one DMA to pieces of memory, or to the reason why not.
 *
 * Words: a *piece* is contiguous in memory: a frame, an offset into it, and a length that may run over later frames.
 * Rule: all or nothing. The first byte that may not be touched refuses the whole DMA, and nothing is marked dirty (I01).
 */
import type { DmaPiece, ReservedRegion } from '@vfiolab/core';
import { GRANULE, GRANULE_BITS } from './formats.js';
import type { PageTable } from './page-table.js';

export interface Refusal {
  /** Granule of the first byte refused, and that byte's offset in it. */
  readonly page: number;
  readonly offset: number;
  readonly reason: string;
}

/** Granules [first, last] where a write is an interrupt. */
export type MsiWindow = readonly [first: number, last: number];

const pageOf = (iova: bigint): number => Number(iova >> BigInt(GRANULE_BITS));

/** Only hardware MSI windows swallow DMAs; in a software one the doorbell is mapped like any page (semantics C2). */
export const msiWindowsOf = (reserved: readonly ReservedRegion[]): MsiWindow[] =>
  reserved.filter((r) => r.type === 'msi').map((r) => [pageOf(r.start), pageOf(r.last)] as const);

/** A paging domain as a DMA meets it. */
export interface Translation {
  readonly table: PageTable;
  /** One past the last granule of the aperture. */
  readonly endPage: number;
  readonly writeImpliesRead: boolean;
}

/** Why the page, which translates to `frame` (-1: to nothing), may not be touched; undefined when it may. */
function refusalOf(t: Translation, page: number, frame: number, write: boolean): string | undefined {
  if (page >= t.endPage) return OUTSIDE;
  if (frame < 0) return 'not mapped';
  if (write && !t.table.foundWritable) return 'not writable';
  if (!write && !t.table.foundReadable && !(t.writeImpliesRead && t.table.foundWritable)) return 'not readable';
  return undefined;
}

export const OUTSIDE = 'outside the aperture';
export const MSI = 'msi window';

/** The first granule of a stretch that lies in a window. */
export function msiPageIn(windows: readonly MsiWindow[], { page, offset, length }: Stretch): number | undefined {
  const end = page + Math.floor((offset + length - 1) / GRANULE);
  for (const [first, last] of windows) if (page <= last && end >= first) return Math.max(page, first);
  return undefined;
}

export interface Stretch {
  /** Granule and byte in it where the DMA starts. */
  readonly page: number;
  readonly offset: number;
  /** Bytes, at least 1. */
  readonly length: number;
}

/**
 * The memory behind a stretch of IOVA. A DMA of MAX_DMA bytes touches 65 granules at most, so there are never more
 * pieces than that. `ipas`: where a guest's table sends each granule, when there is one.
 */
export function translate(
  t: Translation,
  dma: Stretch,
  write: boolean,
  ipas?: readonly number[],
): DmaPiece[] | Refusal {
  const pieces: DmaPiece[] = [];
  let last: { frame: number; offset: number; length: number } | undefined;
  let { page, offset } = dma;
  for (let left = dma.length, i = 0; left > 0; page++, i++, offset = 0) {
    const target = ipas ? ipas[i]! : page;
    const frame = t.table.lookup(target);
    const reason = refusalOf(t, target, frame, write);
    if (reason !== undefined) return { page, offset, reason };
    const length = Math.min(left, GRANULE - offset);
    if (last && last.frame * GRANULE + last.offset + last.length === frame * GRANULE) last.length += length;
    else pieces.push((last = { frame, offset, length }));
    left -= length;
  }
  return pieces;
}

/** Granules of a stretch. */
export function granulesOf({ page, offset, length }: Stretch): number[] {
  const count = Math.floor((offset + length - 1) / GRANULE) + 1;
  return Array.from({ length: count }, (_, i) => page + i);
}

/** Sets the dirty bits of these granules. */
export function markDirty(table: PageTable, granules: readonly number[]): void {
  for (const page of granules) table.markDirty(page);
}

/** Sets the dirty bits of a stretch's granules. */
export function markStretch(table: PageTable, { page, offset, length }: Stretch): void {
  const last = page + Math.floor((offset + length - 1) / GRANULE);
  for (let each = page; each <= last; each++) table.markDirty(each);
}
