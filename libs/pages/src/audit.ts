/**
 * The invariants of the pages service, recomputed from the objects and compared with the counters.
 *
 * Rule: every sum is made from the other side than the one that is kept: pins of frames from the stores' slots, slots from
 * the covers, charges from the stores, free frames from the users. Each sentence begins with the invariant's number.
 */
import { RLIMIT_MM, RLIMIT_USER } from '@vfiolab/core';
import { type Accounting, isLocked, movesVmPin } from './accounting.js';
import type { Eventfds } from './eventfds.js';
import { Extents } from './extents.js';
import type { Frames } from './frames.js';
import type { MemoryFile } from './memory-file.js';
import type { MemoryFiles } from './memory-files.js';
import type { Processes } from './processes.js';
import type { SpecialFiles } from './special-files.js';
import type { Store } from './store.js';
import type { Stores } from './stores.js';

export interface PagesState {
  readonly frames: Frames;
  readonly files: MemoryFiles;
  readonly processes: Processes;
  readonly stores: Stores;
  readonly accounting: Accounting;
  readonly eventfds: Eventfds;
  readonly special: SpecialFiles;
}

export function audit(state: PagesState): string[] {
  return [
    ...[...state.stores.all()].flatMap(auditStore),
    ...auditUsers(state),
    ...auditFree(state.frames),
    ...auditCharges(state),
    ...auditFiles(state),
    ...auditEnds(state),
  ];
}

/** I20, I26: the slots that hold a frame are those that somebody covers. */
function auditStore({ id, cover, held, slots }: Store): string[] {
  const broken: string[] = [];
  if (cover.covered() !== held.pages)
    broken.push(`I20: store ${id} covers ${cover.covered()} slots and pins ${held.pages}`);
  for (const { first, end } of cover.extents()) {
    const holes = held.holes(first, end);
    if (holes.length > 0) broken.push(`I20: store ${id} covers slot ${holes[0]!.first} without a frame`);
    if (end > slots) broken.push(`I20: store ${id} covers slot ${end - 1} of ${slots}`);
  }
  return broken;
}

/** I21: a frame's pins are the stores and dma-bufs that hold it; it is mapped by the page table, or the file, that it belongs to. */
function auditUsers({ frames, stores, processes, files, special }: PagesState): string[] {
  const pins = new Extents();
  for (const store of stores.all())
    for (const { frame, count } of store.pinnedFrames()) pins.add(frame, frame + count, 1);
  for (const { pieces } of special.dmabufs())
    for (const { frame, count } of pieces.flatMap((piece) => piece.frames)) pins.add(frame, frame + count, 1);
  const mapped = new Extents();
  for (const { space } of processes.all())
    for (const { frame, count } of space.tableRuns()) mapped.add(frame, frame + count, 1);
  for (const { cache } of files.all()) for (const { frame, count } of cache.all()) mapped.add(frame, frame + count, 1);
  const broken: string[] = [];
  if (!pins.equals(frames.pins)) broken.push('I21: pin counts of frames are not the sum over stores and dma-bufs');
  if (!mapped.equals(frames.mapped)) broken.push('I21: mapped frames are not those of page tables and files');
  return broken;
}

/** I04: a frame is free exactly when nobody maps or pins it, and then it holds nothing. */
function auditFree(frames: Frames): string[] {
  const broken: string[] = [];
  const free = new Extents();
  for (const { frame, count } of frames.free.runs()) {
    const end = frame + count;
    free.add(frame, end, 1);
    if (frames.mapped.zeros(frame, end)[0]?.end !== end) broken.push(`I04: free frames from ${frame} are mapped`);
    if (frames.pins.zeros(frame, end)[0]?.end !== end) broken.push(`I04: free frames from ${frame} are pinned`);
    if (!frames.bytes.nonZero(frame, end).next().done) broken.push(`I04: free frames from ${frame} hold bytes`);
  }
  for (const { first, end } of frames.unused())
    if (free.zeros(first, end).length > 0) broken.push(`I27: a frame from ${first} is lost: neither used nor free`);
  if (free.covered() !== frames.free.available) broken.push('I24: the number of free frames is not their sum');
  return broken;
}

/** I22: charges and VmPin are the sums over the stores. */
function auditCharges({ stores, processes, accounting }: PagesState): string[] {
  const users = new Map<number, number>();
  const locked = new Map<number, number>();
  const pinned = new Map<number, number>();
  const addTo = (sums: Map<number, number>, key: number, n: number) => sums.set(key, (sums.get(key) ?? 0) + n);
  for (const { payer, pinned: pages } of stores.all()) {
    if (movesVmPin(payer.mode)) addTo(pinned, payer.process.mm, pages);
    if (payer.mode === RLIMIT_USER) addTo(users, payer.uid, pages);
    if (payer.mode === RLIMIT_MM || isLocked(payer.mode)) addTo(locked, payer.process.mm, pages);
  }
  const broken: string[] = [];
  for (const { uid, pages } of accounting.charged()) addTo(users, uid, -pages);
  for (const [uid, off] of users) if (off !== 0) broken.push(`I22: user ${uid} is charged ${-off} pages too many`);
  for (const process of processes.all()) {
    const { pid, mm, space } = process;
    if (process.pinned !== (pinned.get(mm) ?? 0))
      broken.push(`I22: VmPin of process ${pid} is not the sum of its stores`);
    if (process.locked !== (locked.get(mm) ?? 0))
      broken.push(`I22: VmLck of process ${pid} is not the sum of its stores`);
    if (space.lockedPages !== space.countLocked())
      broken.push(`I22: VmLck of process ${pid} is not the sum of its locked VMAs`);
  }
  return broken;
}

/** I27: a file in memory lives exactly as long as it has users, and knows how many they are. */
function auditFiles({ files, processes, stores, special }: PagesState): string[] {
  const users = new Map<MemoryFile, number>();
  const writers = new Map<MemoryFile, number>();
  const addTo = (sums: Map<MemoryFile, number>, file: MemoryFile) => sums.set(file, (sums.get(file) ?? 0) + 1);
  for (const { file } of files.opens()) addTo(users, file);
  for (const { file } of stores.all()) if (file?.memory) addTo(users, file.memory);
  for (const { pieces } of special.dmabufs()) for (const { file } of pieces) addTo(users, file);
  for (const { space } of processes.all())
    for (const { file, mayWrite } of space.sharedVmas()) {
      addTo(users, file);
      if (mayWrite) addTo(writers, file);
    }
  const broken: string[] = [];
  for (const file of files.all()) {
    const counted = users.get(file) ?? 0;
    if (counted === 0) broken.push(`I27: file ${file.id} has no users and is still there`);
    if (file.users !== counted) broken.push(`I27: file ${file.id} counts ${file.users} users, it has ${counted}`);
    if (file.writers !== (writers.get(file) ?? 0)) broken.push(`I27: file ${file.id} does not count its writers right`);
  }
  return broken;
}

/** I27: of a client that is gone nothing stays but what stores hold. */
function auditEnds({ processes, stores, eventfds }: PagesState): string[] {
  const broken: string[] = [];
  const storesOf = new Map<number, number>();
  for (const { payer } of stores.all()) storesOf.set(payer.process.mm, (storesOf.get(payer.process.mm) ?? 0) + 1);
  for (const process of processes.all()) {
    const { pid, mm, space, ended } = process;
    if (process.stores !== (storesOf.get(mm) ?? 0)) broken.push(`I27: process ${pid} does not count its stores right`);
    if (ended && process.stores === 0) broken.push(`I27: process ${pid} ended and is still known`);
    if (ended && space.vmaCount + space.resident > 0) broken.push(`I27: process ${pid} ended and still has memory`);
    if (space.strayPages() > 0) broken.push(`I27: process ${pid} has page frames outside of its VMAs`);
  }
  for (const client of eventfds.clients())
    if (!processes.of(client)) broken.push(`I27: ${client} is gone and still has eventfds`);
  return broken;
}
