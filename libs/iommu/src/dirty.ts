/**
 * Dirty bits of a domain's table as bitmaps: bit i is granule `first + i`, little-endian within bytes.
 *
 * Rule: a large leaf is dirty as a whole (semantics C5.2); what is not mapped is neither marked nor read.
 */
import type { PageTable } from './page-table.js';
import { DIRTY, ENTRIES } from './table-pool.js';

/** The bits of a range; with `clear` they are gone afterwards. A large leaf that reaches out of the range is cleared whole. */
export function readDirty(table: PageTable, first: number, count: number, clear: boolean): Uint8Array {
  const bitmap = new Uint8Array(Math.ceil(count / 8));
  for (let i = 0; i < count; i++) if (table.lookup(first + i) >= 0 && table.foundDirty) bitmap[i >> 3]! |= 1 << (i & 7);
  if (clear) for (const i of bitsOf(bitmap)) table.clearDirty(first + i);
  return bitmap;
}

/** Marks the granules whose bits are set; answers how many of them are mapped. */
export function markDirtyBits(table: PageTable, first: number, bitmap: Uint8Array): number {
  let mapped = 0;
  for (const i of bitsOf(bitmap)) {
    if (table.lookup(first + i) < 0) continue;
    table.markDirty(first + i);
    mapped++;
  }
  return mapped;
}

/** Numbers of the set bits, ascending. */
export function* bitsOf(bitmap: Uint8Array): IterableIterator<number> {
  for (let byte = 0; byte < bitmap.length; byte++)
    for (let bits = bitmap[byte]!, bit = 0; bits !== 0; bits >>= 1, bit++) if (bits & 1) yield byte * 8 + bit;
}

/** Stretches of granules that are dirty, for comparing states. */
export function dirtyRuns(table: PageTable): { iova: number; count: number }[] {
  const runs: { iova: number; count: number }[] = [];
  table.forEachLeaf((iova, _frame, level, flags) => {
    if ((flags & DIRTY) === 0) return;
    const count = ENTRIES ** level;
    const last = runs[runs.length - 1];
    if (last && last.iova + last.count === iova) last.count += count;
    else runs.push({ iova, count });
  });
  return runs;
}
