/** Translating an IOVA, and what a mapped page costs in memory. */
import { lookupAll, gigabyteTable, scatteredTable } from '@vfiolab/iommu';
import { type Figure, figure } from './bench.js';

const LOOKUPS = 1 << 20;
const ROUNDS = 7;
const SIZES = [1, 512, 8192, 60_000];

/** Median ns of one look-up at random among `pages` scattered pages. */
function lookupNs(pages: number): number {
  const table = scatteredTable(pages);
  const iovas = new Uint32Array(LOOKUPS);
  for (let i = 0, x = 1; i < LOOKUPS; i++) iovas[i] = (x = (Math.imul(x, 1103515245) + 12345) >>> 0) % pages;
  const rounds: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const began = performance.now();
    lookupAll(table, iovas);
    rounds.push(((performance.now() - began) * 1e6) / LOOKUPS);
  }
  return rounds.sort((a, b) => a - b)[ROUNDS >> 1]!;
}

/** The same loads on JavaScript's own map: what most would write first. */
function mapNs(pages: number): number {
  const table = new Map<number, number>();
  for (let i = 0; i < pages; i++) table.set(i, 2 * ((i * 7919) % pages) + 1);
  const began = performance.now();
  let sum = 0;
  for (let i = 0, x = 1; i < LOOKUPS; i++) sum += table.get((x = (Math.imul(x, 1103515245) + 12345) >>> 0) % pages)!;
  const ns = ((performance.now() - began) * 1e6) / LOOKUPS;
  return sum > 0 ? ns : Number.NaN;
}

export function translate(): Promise<Figure[]> {
  lookupNs(8192);
  return Promise.resolve(
    SIZES.map((pages) =>
      figure(`look-up among ${pages} scattered pages`, lookupNs(pages), 'ns', 'Map<number>', mapNs(pages)),
    ),
  );
}

export function memory(): Promise<Figure[]> {
  const pte = 8;
  return Promise.resolve([
    figure(
      '60,000 scattered pages, bytes a page',
      scatteredTable(60_000).bytes / 60_000,
      'B',
      'a PTE of the hardware',
      pte,
    ),
    figure(
      '1 TiB in pages of 1 GiB, bytes a page',
      gigabyteTable(1024).bytes / 1024,
      'B',
      'a PTE of the hardware',
      pte,
    ),
  ]);
}
