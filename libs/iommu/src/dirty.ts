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

/**
 * The same where the granule is half a page of memory and both halves of a page are one entry, as in AMD's format on the mock:
 * the entry is dirty as a whole, and its last granule is never reported, because the kernel takes the last one's index for
 * their number. So a page shows in its first half. Pages that are neighbours in memory are taken as entries of their own,
 * as they mostly were on the recorded hosts (a028, c023).
 */
export function readDirtyPages(table: PageTable, first: number, count: number, clear: boolean): Uint8Array {
  const bitmap = readDirty(table, first, count, clear);
  for (const i of bitsOf(bitmap)) {
    const even = i - ((first + i) % 2);
    if (even < 0 || even + 1 >= count || !isOnePage(table, first + even)) continue;
    bitmap[even >> 3]! |= 1 << (even & 7);
    bitmap[(even + 1) >> 3]! &= ~(1 << ((even + 1) & 7));
  }
  return bitmap;
}

function isOnePage(table: PageTable, even: number): boolean {
  const frame = table.lookup(even);
  return frame >= 0 && frame % 2 === 0 && table.lookup(even + 1) === frame + 1;
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
