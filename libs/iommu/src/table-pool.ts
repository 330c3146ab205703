/**
 * Memory of page tables: tables of 512 entries in flat typed arrays.
 *
 * Words: a *table* is a number; its entries are `table * 512 + index`. An entry is a frame or table number (32 bits) and
 * a byte of flags; flags of 0 mean absent. `live` counts the entries of a table that are not absent.
 * Rule: 5 bytes an entry and nothing else per page. The pool grows by a quarter, so slack stays under 25 %.
 */
import { PROT_READ, PROT_WRITE } from '@vfiolab/core';

/** Bits of an IOVA that one level resolves. */
export const LEVEL_BITS = 9;
export const ENTRIES = 1 << LEVEL_BITS;

/** Flags of an entry. The permissions are those of the protocol. */
export const READ = PROT_READ;
export const WRITE = PROT_WRITE;
export const DIRTY = 4;
export const LEAF = 64;
export const TABLE = 128;

const FIRST_TABLES = 4;
/** Below this many tables an emptied pool keeps its memory for the next map. */
const KEPT_TABLES = 64;

export class TablePool {
  values = new Uint32Array(0);
  flags = new Uint8Array(0);
  live = new Uint16Array(0);
  private readonly free: number[] = [];
  /** Tables ever handed out since the last reset: the next fresh number. */
  private fresh = 0;

  /** `limit`: most tables that `take` hands out. */
  constructor(private readonly limit: number) {}

  get used(): number {
    return this.fresh - this.free.length;
  }

  /** Bytes of the typed arrays. */
  get bytes(): number {
    return this.values.byteLength + this.flags.byteLength + this.live.byteLength;
  }

  /** An empty table, or -1 at the limit. `force` ignores the limit: clearing entries must never fail. */
  take(force = false): number {
    if (!force && this.used >= this.limit) return -1;
    const reused = this.free.pop();
    if (reused !== undefined) return reused;
    if (this.fresh === this.live.length) this.resize(Math.max(FIRST_TABLES, this.fresh + (this.fresh >> 2)));
    return this.fresh++;
  }

  /** Takes these flags from every entry. */
  clearFlags(flags: number): void {
    for (let entry = 0; entry < this.fresh * ENTRIES; entry++) this.flags[entry]! &= ~flags;
  }

  /** Takes an empty table back. */
  give(table: number): void {
    if (this.live[table] !== 0) throw new Error(`page table ${table} is freed with ${this.live[table]} entries`);
    this.free.push(table);
  }

  /** Takes every table back at once; all of them must be empty. A large pool gives its memory up. */
  reset(): void {
    this.free.length = 0;
    this.fresh = 0;
    if (this.live.length <= KEPT_TABLES) return;
    this.values = new Uint32Array(0);
    this.flags = new Uint8Array(0);
    this.live = new Uint16Array(0);
  }

  private resize(tables: number): void {
    const values = new Uint32Array(tables * ENTRIES);
    const flags = new Uint8Array(tables * ENTRIES);
    const live = new Uint16Array(tables);
    values.set(this.values);
    flags.set(this.flags);
    live.set(this.live);
    this.values = values;
    this.flags = flags;
    this.live = live;
  }
}
