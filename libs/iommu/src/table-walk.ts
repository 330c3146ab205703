/**
 * Walks over a tree of tables that only read.
 *
 * Words: a *level* is that of a table's entries, 0 at the leaves of one granule.
 * Rule: absent entries are stepped over whole, so a walk costs what is mapped and not what could be.
 */
import { ENTRIES, LEAF, LEVEL_BITS, TABLE, type TablePool } from './table-pool.js';

/** Granules that one entry of a level covers; index 6 is the whole of a tree of depth 6. */
export const SPAN: readonly number[] = [0, 1, 2, 3, 4, 5, 6].map((level) => 2 ** (LEVEL_BITS * level));

export type LeafVisitor = (iova: number, frame: number, level: number, flags: number) => void;

/** Whether no leaf touches [from, to), counted in granules from the start of the table. */
export function isFreeIn(pool: TablePool, table: number, level: number, from: number, to: number): boolean {
  const span = SPAN[level]!;
  while (from < to) {
    const index = Math.floor(from / span);
    const start = index * span;
    const stop = Math.min(start + span, to);
    const entry = table * ENTRIES + index;
    const flags = pool.flags[entry]!;
    if ((flags & LEAF) !== 0) return false;
    if (flags !== 0 && !isFreeIn(pool, pool.values[entry]!, level - 1, from - start, stop - start)) return false;
    from = stop;
  }
  return true;
}

/** Visits the leaves below a table that starts at IOVA `base`, in ascending order. */
export function visitLeaves(pool: TablePool, table: number, level: number, base: number, visit: LeafVisitor): void {
  const { values, flags } = pool;
  for (let i = 0; i < ENTRIES; i++) {
    const entry = table * ENTRIES + i;
    const iova = base + i * SPAN[level]!;
    if ((flags[entry]! & LEAF) !== 0) visit(iova, values[entry]!, level, flags[entry]! & ~LEAF);
    else if (flags[entry] !== 0) visitLeaves(pool, values[entry]!, level - 1, iova, visit);
  }
}

/** Counts the tables reached from one, and names those that are empty or counted wrong. */
export function checkTables(pool: TablePool, table: number, level: number, problems: string[]): number {
  let reached = 1;
  let live = 0;
  for (let entry = table * ENTRIES; entry < (table + 1) * ENTRIES; entry++) {
    const flags = pool.flags[entry]!;
    if (flags !== 0) live++;
    if ((flags & TABLE) !== 0) reached += checkTables(pool, pool.values[entry]!, level - 1, problems);
  }
  if (live !== pool.live[table]) problems.push(`table ${table} counts ${pool.live[table]} entries, has ${live}`);
  if (live === 0) problems.push(`table ${table} at level ${level} is empty`);
  return reached;
}
