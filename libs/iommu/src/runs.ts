/**
 * Runs of a page table: leaves that continue each other, joined, and their bytes in a snapshot.
 *
 * Words: a *run* here is a stretch of IOVA; two views join differently. The exact one keeps leaf sizes, frames and dirty
 * bits, and restores a table that behaves the same for ever; the plain one keeps only where what is allowed.
 * Rule: both depend on what is mapped, never on the order in which it was mapped.
 */
import { type ByteReader, type ByteWriter, WireError } from '@vfiolab/core';
import { FRAME_LIMIT, IOVA_LIMIT, PageTable, TOP_LEAF_LEVEL } from './page-table.js';
import { DIRTY, LEVEL_BITS, READ, WRITE } from './table-pool.js';

export interface LeafRun {
  iova: number;
  frame: number;
  count: number;
  level: number;
  /** READ, WRITE and DIRTY. */
  flags: number;
}

type Continues = (run: LeafRun, frame: number, level: number, flags: number) => boolean;

const PROT = READ | WRITE;
const exactly: Continues = (run, frame, level, flags) =>
  run.level === level && run.flags === flags && run.frame + run.count === frame;
const inPermission: Continues = (run, _frame, _level, flags) => (run.flags & PROT) === (flags & PROT);

function joined(table: PageTable, continues: Continues): LeafRun[] {
  const runs: LeafRun[] = [];
  let last: LeafRun | undefined;
  table.forEachLeaf((iova, frame, level, flags) => {
    const count = 2 ** (LEVEL_BITS * level);
    if (last && last.iova + last.count === iova && continues(last, frame, level, flags)) last.count += count;
    else runs.push((last = { iova, frame, count, level, flags }));
  });
  return runs;
}

/** Runs of leaves of one size, contiguous in IOVA and in memory, with equal flags. */
export const leafRuns = (table: PageTable): LeafRun[] => joined(table, exactly);

/** Stretches of IOVA with equal permissions, wherever the memory is. */
export const permissionRuns = (table: PageTable): LeafRun[] => joined(table, inPermission);

/** Bits of the byte that starts a run in a snapshot, above the flags (3 bits) and the level (2 bits). */
const LEVEL_SHIFT = 3;
const ADJACENT = 32;
const SINGLE = 64;

/** Scattered neighbours take 5 bytes each: the IOVA is left out after a neighbour, the count when it is one leaf. */
export function encodeTable(w: ByteWriter, table: PageTable): void {
  let end = 0;
  w.list(leafRuns(table), ({ iova, frame, count, level, flags }) => {
    const leaf = 2 ** (LEVEL_BITS * level);
    w.u8(flags | (level << LEVEL_SHIFT) | (iova === end ? ADJACENT : 0) | (count === leaf ? SINGLE : 0));
    w.u32(frame);
    if (iova !== end) w.num(iova);
    if (count !== leaf) w.u32(count / leaf);
    end = iova + count;
  });
}

/** Reads into an empty table what `encodeTable` wrote. */
export function decodeTable(r: ByteReader, table: PageTable): void {
  let end = 0;
  r.list(() => {
    const head = r.u8();
    const level = (head >>> LEVEL_SHIFT) & 3;
    const flags = head & (PROT | DIRTY);
    const frame = r.u32();
    const iova = (head & ADJACENT) !== 0 ? end : r.num();
    const count = ((head & SINGLE) !== 0 ? 1 : r.u32()) * 2 ** (LEVEL_BITS * Math.min(level, TOP_LEAF_LEVEL));
    end = iova + count;
    const fits = level <= TOP_LEAF_LEVEL && count > 0 && end <= IOVA_LIMIT && frame + count <= FRAME_LIMIT;
    if (!fits || !table.isFree(iova, count)) throw new WireError(`run at granule ${iova} does not fit its page table`);
    table.restore(iova, frame, count, flags, level);
  });
}

/** What a client could learn about a table: where it may read and write. */
export function encodePermissions(w: ByteWriter, table: PageTable): void {
  w.list(permissionRuns(table), ({ iova, count, flags }) => {
    w.num(iova);
    w.num(count);
    w.u8(flags & PROT);
  });
}
