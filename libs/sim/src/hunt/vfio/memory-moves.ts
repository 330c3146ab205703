/** Random memory: what is mapped for DMA, and what happens to it meanwhile. */
import { lookForForeign, PIECE } from './dma.js';
import type { Mapping, Memory, Space } from './model.js';
import { any, type Move } from './moves.js';
import type { Program } from './program.js';

/** Pages of one piece of memory; places in a space, each as long as a piece. */
export const PAGES = 8;
const SLOTS = 10;
const MAX_MEMORY = 6;

export interface Range {
  readonly iova: bigint;
  readonly va: bigint;
  readonly bytes: bigint;
  /** It is memory of the program's own. */
  readonly plain?: boolean | undefined;
}

const FIRST_IOVA = 0x100000n;

const slot = (p: Program, n: number): bigint => FIRST_IOVA + BigInt(n * PAGES * p.yard.page);

/** Memory of the program and a place for it; some do not fit, or overlap what is there. */
export function range(p: Program): Range {
  const { chance, yard, model } = p;
  const memory: Memory = any(chance, model.memory) ?? { va: 0x10000, bytes: PAGES * yard.page };
  const pages = 1 + chance.below(PAGES / 2);
  const page = BigInt(yard.page);
  const iova = slot(p, chance.below(SLOTS)) + page * BigInt(chance.below(3));
  const va = BigInt(memory.va) + page * BigInt(chance.below(PAGES - pages + 1));
  const plain = 'registers' in memory ? false : model.memory.length > 0;
  const odd = chance.once(25) ? BigInt(chance.pick([1, 512, 2048, 4096])) : 0n;
  return chance.once(60)
    ? { iova: chance.u64(), va, bytes: chance.u64() }
    : { iova: iova + odd, va, bytes: page * BigInt(pages) + (chance.once(40) ? 4096n : 0n), plain };
}

/** What the program has mapped, most of the time. */
export function mapped(p: Program, space: Space): Range {
  const found = any(p.chance, space.maps);
  return found && !p.chance.once(8) ? found : range(p);
}

const meets = (m: Range, iova: bigint, bytes: bigint): boolean => m.iova < iova + bytes && iova < m.iova + m.bytes;

/** It is mapped; `certain`: for reading and writing; `intact`: no memory has gone meanwhile. */
export function noteMapped(space: Space, range: Range, certain: boolean, intact: boolean): void {
  const { iova, va, bytes, plain } = range;
  // SPAPR writes its entries over those that are there.
  for (const m of space.maps) if (meets(m, iova, bytes)) m.stale = true;
  space.maps.push({ iova, va, bytes, stale: !certain || !intact || plain !== true, spoiled: !intact });
}

/** The range is being unmapped, and not a byte of it can be foretold until `noteGone`. */
export function noteGoing(space: Space, iova: bigint, bytes: bigint): Mapping[] {
  const going = space.maps.filter((m) => meets(m, iova, bytes));
  for (const m of going) m.stale = true;
  return going;
}

/** What lay wholly in the range is gone. */
export function noteGone(space: Space, going: readonly Mapping[], iova: bigint, bytes: bigint): void {
  const inside = (m: Range): boolean => m.iova >= iova && m.iova + m.bytes <= iova + bytes;
  const gone = going.filter((m) => space.maps.includes(m) && inside(m));
  space.maps = space.maps.filter((m) => !gone.includes(m));
  space.gone = [...space.gone, ...gone.map((m) => ({ ...m, stale: m.spoiled }))].slice(-4);
}

async function newMemory(p: Program): Promise<void> {
  const bytes = PAGES * p.yard.page;
  const shared = p.chance.once(5);
  const va = await p.get(shared ? p.process.mmapShared(bytes) : p.process.mmap(bytes));
  if (va === undefined) return;
  for (let at = 0; at < bytes; at += p.yard.page)
    await p.sys(p.process.write(va + at, new Uint8Array(PIECE).fill(p.marks[0])));
  p.model.memory.push({ va, bytes });
}

async function memfd(p: Program): Promise<void> {
  const fd = await p.get(p.process.memfds.create());
  if (fd === undefined) return;
  p.model.memfds.push(fd);
  const bytes = PAGES * p.yard.page;
  await p.sys(p.process.memfds.truncate(fd, bytes));
  const va = await p.get(p.process.mapFile(fd, 0, bytes));
  if (va !== undefined) p.model.memory.push({ va, bytes });
}

async function unmapMemory(p: Program): Promise<void> {
  const { chance, model, yard } = p;
  const found = any(chance, model.memory)!;
  const half = chance.once(3);
  const bytes = half ? yard.page * (PAGES / 2) : found.bytes;
  model.spoil(found.va, bytes);
  model.memory = model.memory.filter((m) => m !== found);
  await p.sys(p.process.munmap(found.va, bytes));
}

async function look(p: Program): Promise<void> {
  const { chance, model, yard } = p;
  const found = any(chance, model.memory)!;
  await lookForForeign(p, found.va + yard.page * chance.below(found.bytes / yard.page));
}

/** Everything that it can still see. */
export async function lookAtAll(p: Program): Promise<void> {
  for (const { va, bytes } of p.model.memory)
    for (let at = 0; at < bytes; at += p.yard.page) await lookForForeign(p, va + at);
}

export const MEMORY_MOVES: readonly Move[] = [
  // Without memory there is not much to do.
  { name: 'first memory', weight: 200, has: ({ memory }) => memory.length === 0, run: newMemory },
  { name: 'mmap', weight: 6, has: ({ memory }) => memory.length < MAX_MEMORY, run: newMemory },
  { name: 'memfd', weight: 2, has: ({ memory }) => memory.length < MAX_MEMORY, run: memfd },
  { name: 'munmap', weight: 2, has: ({ memory }) => memory.length > 1, run: unmapMemory },
  { name: 'look', weight: 5, has: ({ memory }) => memory.length > 0, run: look },
];
