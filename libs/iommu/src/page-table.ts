/**
 * One domain's page table: granules of IOVA to frames, as a radix tree with 9 bits a level.
 *
 * Words: a *leaf* at level 0 covers 1 granule, at level 1 512 (2 MiB of 4 KiB granules), at level 2 512^2 (1 GiB). The
 * *depth* is the number of levels from the root down; it grows with the highest IOVA, up to 6 (2^54 granules).
 * Rule: IOVAs and frames are whole doubles and never bigints; a lookup allocates nothing. A table without entries is
 * freed at once, so an entry that names a table always leads to a leaf.
 */
import { DIRTY, ENTRIES, LEAF, LEVEL_BITS, READ, TABLE, TablePool, WRITE } from './table-pool.js';
import { checkTables, isFreeIn, type LeafVisitor, SPAN, visitLeaves } from './table-walk.js';

/** Largest leaf: like the 1 GiB page of VT-d and SMMUv3 (semantics C3). */
export const TOP_LEAF_LEVEL = 2;
/** IOVAs end here: 2^52 granules of 4 KiB are 2^64 bytes. */
export const IOVA_LIMIT = 2 ** 52;
/** Frames end here: an entry has 32 bits for one (16 TiB of memory in frames of 4 KiB). */
export const FRAME_LIMIT = 2 ** 32;
/** Tables of one domain: 2^20 of them map 2 TiB in scattered pages of 4 KiB. */
export const MAX_TABLES = 2 ** 20;

const INDEX_MASK = ENTRIES - 1;
const LOW_LEVELS = 3;
/** IOVA bits of the levels 0-2; the bits above them make another 32-bit integer. */
const LOW_SPAN = 2 ** (LEVEL_BITS * LOW_LEVELS);

export class PageTable {
  private readonly pool: TablePool;
  private root = -1;
  private depth = 1;
  private mappedGranules = 0;
  /** Entry of the leaf that the last successful `lookup` found. */
  private foundEntry = 0;
  /** Tables are taken beyond the limit: splits may have done so before the snapshot that is read back. */
  private restoring = false;

  constructor(maxTables = MAX_TABLES) {
    this.pool = new TablePool(maxTables);
  }

  /** Granules mapped now. */
  get mapped(): number {
    return this.mappedGranules;
  }

  /** Bytes of memory behind the table. */
  get bytes(): number {
    return this.pool.bytes;
  }

  get tables(): number {
    return this.pool.used;
  }

  /** The frame behind one granule, or -1. The getters below then describe the leaf, until the next change. */
  lookup(iova: number): number {
    if (this.root < 0 || iova >= SPAN[this.depth]!) return -1;
    const { values, flags } = this.pool;
    const high = Math.floor(iova / LOW_SPAN);
    const low = iova - high * LOW_SPAN;
    let table = this.root;
    for (let level = this.depth - 1; ; level--) {
      const bits = level < LOW_LEVELS ? low >>> (LEVEL_BITS * level) : high >>> (LEVEL_BITS * (level - LOW_LEVELS));
      const entry = (table << LEVEL_BITS) + (bits & INDEX_MASK);
      const f = flags[entry]!;
      if (f === 0) return -1;
      if ((f & LEAF) !== 0) {
        this.foundEntry = entry;
        return values[entry]! + (low & ((1 << (LEVEL_BITS * level)) - 1));
      }
      table = values[entry]!;
    }
  }

  get foundReadable(): boolean {
    return (this.pool.flags[this.foundEntry]! & READ) !== 0;
  }

  get foundWritable(): boolean {
    return (this.pool.flags[this.foundEntry]! & WRITE) !== 0;
  }

  get foundDirty(): boolean {
    return (this.pool.flags[this.foundEntry]! & DIRTY) !== 0;
  }

  /** Clears the dirty bit of the leaf behind a granule, if there is one. */
  clearDirty(iova: number): void {
    if (this.lookup(iova) >= 0) this.pool.flags[this.foundEntry]! &= ~DIRTY;
  }

  /** Clears every dirty bit. */
  clearAllDirty(): void {
    this.pool.clearFlags(DIRTY);
  }

  /** Sets the dirty bit of the leaf behind a granule; a large leaf is dirty as a whole (semantics C5.2). */
  markDirty(iova: number): void {
    if (this.lookup(iova) < 0) throw new Error(`granule ${iova} is not mapped and cannot be dirty`);
    this.pool.flags[this.foundEntry]! |= DIRTY;
  }

  /**
   * Maps `count` granules to consecutive frames. False when tables run out; nothing is changed then. Overlap is a bug of
   * the caller and throws. `topLevel` bounds the leaf size; leaves need IOVA and frame aligned to their size.
   */
  map(iova: number, frame: number, count: number, flags: number, topLevel = TOP_LEAF_LEVEL): boolean {
    if (!(iova >= 0 && frame >= 0 && count > 0 && iova + count <= IOVA_LIMIT && frame + count <= FRAME_LIMIT)) {
      throw new Error(`no such mapping: ${count} granules from ${iova} to frame ${frame}`);
    }
    const before = this.mappedGranules;
    if (this.grow(iova + count) && this.write(iova, frame, count, flags | LEAF, topLevel)) return true;
    const written = this.mappedGranules - before;
    if (written > 0) this.unmap(iova, written);
    else this.trim();
    return false;
  }

  /** Maps as `map` does with leaves of one level, for reading snapshots: the limit of tables is not asked. */
  restore(iova: number, frame: number, count: number, flags: number, level: number): void {
    this.restoring = true;
    this.map(iova, frame, count, flags, level);
    this.restoring = false;
  }

  /** Clears what is mapped in the range and returns how many granules that was. A leaf across an edge is split first. */
  unmap(iova: number, count: number): number {
    if (this.root < 0) return 0;
    const end = Math.min(iova + count, SPAN[this.depth]!);
    const removed = this.clear(this.root, this.depth - 1, iova, end);
    this.mappedGranules -= removed;
    this.trim();
    return removed;
  }

  /** Unmaps everything. */
  clearAll(): void {
    this.unmap(0, IOVA_LIMIT);
  }

  /** Whether nothing is mapped in the range. */
  isFree(iova: number, count: number): boolean {
    if (this.root < 0) return true;
    return isFreeIn(this.pool, this.root, this.depth - 1, iova, Math.min(iova + count, SPAN[this.depth]!));
  }

  /** Every leaf, in the order of IOVAs. The visitor must not change the table. */
  forEachLeaf(visit: LeafVisitor): void {
    if (this.root >= 0) visitLeaves(this.pool, this.root, this.depth - 1, 0, visit);
  }

  /** Broken rules of the table itself, in words: counts that disagree with the entries, tables that leak. `emptyPermission`: leaves may allow nothing. */
  check(emptyPermission = false): string[] {
    const problems: string[] = [];
    let granules = 0;
    this.forEachLeaf((iova, frame, level, flags) => {
      granules += SPAN[level]!;
      if (iova % SPAN[level]! !== 0 || frame % SPAN[level]! !== 0) problems.push(`leaf at ${iova} is not aligned`);
      if ((flags & (READ | WRITE)) === 0 && !emptyPermission) problems.push(`leaf at ${iova} has no permission`);
    });
    if (granules !== this.mappedGranules) problems.push(`${this.mappedGranules} granules counted, ${granules} found`);
    const reached = this.root < 0 ? 0 : checkTables(this.pool, this.root, this.depth - 1, problems);
    if (reached !== this.pool.used) problems.push(`${this.pool.used} tables taken, ${reached} reached`);
    return problems;
  }

  /**
   * Makes the tree deeper than IOVAs below `end` need at least: strictly, so that the largest leaf of the run has a
   * level of its own. False when tables run out.
   */
  private grow(end: number): boolean {
    if (this.root < 0) {
      while (SPAN[this.depth]! <= end) this.depth++;
      this.root = this.pool.take(this.restoring);
      return this.root >= 0;
    }
    while (SPAN[this.depth]! <= end) {
      const above = this.pool.take(this.restoring);
      if (above < 0) return false;
      this.set(above, 0, this.root, TABLE);
      this.root = above;
      this.depth++;
    }
    return true;
  }

  private set(table: number, index: number, value: number, flags: number): void {
    const entry = table * ENTRIES + index;
    if (this.pool.flags[entry] !== 0) throw new Error(`page table entry ${index} at ${table} is taken: maps overlap`);
    this.pool.values[entry] = value;
    this.pool.flags[entry] = flags;
    this.pool.live[table]!++;
  }

  private write(iova: number, frame: number, count: number, flags: number, topLevel: number): boolean {
    while (count > 0) {
      const level = leafLevel(iova, frame, count, topLevel);
      const span = SPAN[level]!;
      const table = this.tableFor(iova, level);
      if (table < 0) return false;
      const index = Math.floor(iova / span) & INDEX_MASK;
      const n = Math.min(ENTRIES - index, Math.floor(count / span));
      for (let i = 0; i < n; i++) this.set(table, index + i, frame + i * span, flags);
      this.mappedGranules += n * span;
      iova += n * span;
      frame += n * span;
      count -= n * span;
    }
    return true;
  }

  /** The table of `level` on the way to `iova`, made where it is missing; -1 when tables run out. */
  private tableFor(iova: number, target: number): number {
    let table = this.root;
    for (let level = this.depth - 1; level > target; level--) {
      const index = Math.floor(iova / SPAN[level]!) % ENTRIES;
      const entry = table * ENTRIES + index;
      const flags = this.pool.flags[entry]!;
      if ((flags & LEAF) !== 0) throw new Error(`granule ${iova} lies in a mapped large page: maps overlap`);
      if (flags === 0) {
        const made = this.pool.take(this.restoring);
        if (made < 0) return (this.prune(iova), -1);
        this.set(table, index, made, TABLE);
      }
      table = this.pool.values[entry]!;
    }
    return table;
  }

  /** Frees the tables that were made on the way to an IOVA and never got an entry. */
  private prune(iova: number): void {
    this.clear(this.root, this.depth - 1, iova, iova + 1);
  }

  /** Clears [from, to), counted from the start of the table, and returns the granules cleared. */
  private clear(table: number, level: number, from: number, to: number): number {
    const { pool } = this;
    const span = SPAN[level]!;
    let removed = 0;
    while (from < to) {
      const index = Math.floor(from / span);
      const start = index * span;
      const stop = Math.min(start + span, to);
      const entry = table * ENTRIES + index;
      const flags = pool.flags[entry]!;
      if ((flags & LEAF) !== 0 && stop - from === span) {
        this.drop(table, entry);
        removed += span;
      } else if (flags !== 0) {
        if ((flags & LEAF) !== 0) this.split(entry, level);
        const child = pool.values[entry]!;
        removed += this.clear(child, level - 1, from - start, stop - start);
        if (pool.live[child] === 0) {
          this.drop(table, entry);
          pool.give(child);
        }
      }
      from = stop;
    }
    return removed;
  }

  private drop(table: number, entry: number): void {
    this.pool.flags[entry] = 0;
    this.pool.live[table]!--;
  }

  /** Replaces a large leaf by a table of leaves one level below, with the same permissions and dirty bit. */
  private split(entry: number, level: number): void {
    const child = this.pool.take(true);
    const frame = this.pool.values[entry]!;
    const flags = this.pool.flags[entry]!;
    for (let i = 0; i < ENTRIES; i++) this.set(child, i, frame + i * SPAN[level - 1]!, flags);
    this.pool.values[entry] = child;
    this.pool.flags[entry] = TABLE;
  }

  /** An empty table starts over: no root, least depth. */
  private trim(): void {
    if (this.mappedGranules > 0) return;
    this.root = -1;
    this.depth = 1;
    this.pool.reset();
  }
}

/** The largest leaf that a run can start with. */
function leafLevel(iova: number, frame: number, count: number, top: number): number {
  let level = top;
  while (level > 0 && (count < SPAN[level]! || iova % SPAN[level]! !== 0 || frame % SPAN[level]! !== 0)) level--;
  return level;
}
