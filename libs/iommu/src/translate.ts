/**
 * From the IOVAs of one DMA to pieces of memory, or to the reason why not.
 *
 * Words: a *piece* is contiguous in memory: a frame, an offset into it, and a length that may run over later frames.
 * Rule: all or nothing. The first byte that may not be touched refuses the whole DMA, and nothing is marked dirty (I01).
 */
import type { DmaPiece } from '@vfiolab/core';
import { endPageOf, type Format, GRANULE, GRANULE_BITS } from './formats.js';
import type { PageTable } from './page-table.js';

export interface Refusal {
  /** Granule of the first byte refused, and that byte's offset in it. */
  readonly page: number;
  readonly offset: number;
  readonly reason: string;
}

/** What a format says about IOVAs, in granules: the aperture is [0, endPage), an MSI window [first, last]. */
export interface Windows {
  readonly endPage: number;
  readonly msi: readonly (readonly [number, number])[];
}

const pageOf = (iova: bigint): number => Number(iova >> BigInt(GRANULE_BITS));

/** Only hardware MSI windows swallow DMAs; in a software one the doorbell is mapped like any page (semantics C2). */
export const windowsOf = (format: Format): Windows => ({
  endPage: endPageOf(format),
  msi: format.reserved.filter((r) => r.type === 'msi').map((r) => [pageOf(r.start), pageOf(r.last)] as const),
});

/** Why the page, which translates to `frame` (-1: to nothing), may not be touched; undefined when it may. */
function refusalOf(
  table: PageTable,
  windows: Windows,
  page: number,
  frame: number,
  write: boolean,
): string | undefined {
  if (page >= windows.endPage) return 'outside the aperture';
  if (windows.msi.some(([first, last]) => page >= first && page <= last)) return 'msi window';
  if (frame < 0) return 'not mapped';
  if (write && !table.foundWritable) return 'not writable';
  if (!write && !table.foundReadable) return 'not readable';
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
 * pieces than that.
 */
export function translate(table: PageTable, windows: Windows, dma: Stretch, write: boolean): DmaPiece[] | Refusal {
  const pieces: DmaPiece[] = [];
  let last: { frame: number; offset: number; length: number } | undefined;
  let { page, offset } = dma;
  for (let left = dma.length; left > 0; page++, offset = 0) {
    const frame = table.lookup(page);
    const reason = refusalOf(table, windows, page, frame, write);
    if (reason !== undefined) return { page, offset, reason };
    const length = Math.min(left, GRANULE - offset);
    if (last && last.frame * GRANULE + last.offset + last.length === frame * GRANULE) last.length += length;
    else pieces.push((last = { frame, offset, length }));
    left -= length;
  }
  return pieces;
}

/** Sets the dirty bits of every granule of the stretch. */
export function markDirty(table: PageTable, { page, offset, length }: Stretch): void {
  const last = page + Math.floor((offset + length - 1) / GRANULE);
  for (let p = page; p <= last; p++) table.markDirty(p);
}
