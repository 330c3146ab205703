/**
 * Loads for measuring a page table. Nothing here reads a clock: the caller times what it gets.
 *
 * Words: *scattered* means dense in IOVA and without two neighbouring frames, so that no page shares a leaf.
 */
import { PageTable } from './page-table.js';
import { READ, WRITE } from './table-pool.js';

/** A table of `pages` scattered granules from IOVA granule 0 on. */
export function scatteredTable(pages: number): PageTable {
  const table = new PageTable();
  for (let i = 0; i < pages; i++) table.map(i, 2 * ((i * 7919) % pages) + 1, 1, READ | WRITE);
  return table;
}

/** A table of `count` runs of 1 GiB (2^18 granules of 4 KiB), every one aligned and in a place of its own in memory. */
export function gigabyteTable(count: number): PageTable {
  const table = new PageTable();
  for (let i = 0; i < count; i++) table.map(i * 2 ** 18, ((i * 7) % count) * 2 ** 18, 2 ** 18, READ | WRITE);
  return table;
}

/** Looks every IOVA up and adds the frames, so that no look-up can be left out. */
export function lookupAll(table: PageTable, iovas: Uint32Array): number {
  let sum = 0;
  for (let i = 0; i < iovas.length; i++) sum += table.lookup(iovas[i]!);
  return sum;
}
