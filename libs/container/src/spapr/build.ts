/**
 * TCEs written: memory found or pinned, what was there before let go.
 *
 * Rule: pages are taken one after the other; at the first that cannot be, everything up to it is clear, also what was mapped
 * there before (trace p054). TCEs behind the end of the window are not written: the kernel writes past its table there.
 */
import {
  call,
  IOMMU,
  iommuApi,
  type IoctlResult,
  MAX_RUNS,
  type Op,
  PAGES,
  pagesApi,
  RLIMIT_UNCHARGED,
  type Run,
} from '@vfiolab/core';
import { type Errno, fail, ok, type Result } from '@vfiolab/uapi';
import { framesOf } from './memory.js';
import type { Registration } from './registrations.js';
import type { DmaWindow, Spapr } from './spapr.js';
import type { TcePiece } from './tce-table.js';
import { clear } from './windows.js';

export interface Wanted {
  /** Whose memory it is. */
  readonly client: string;
  readonly entry: number;
  /** IOMMU pages; as many as the caller likes. */
  readonly count: bigint;
  readonly va: bigint;
  readonly prot: number;
}

/** IOMMU pages of one registration, in a row. */
interface Stretch {
  readonly registration: Registration;
  readonly at: number;
  readonly count: number;
}

const FRAME_SHIFT = 12n;

export const build = (spapr: Spapr, window: DmaWindow, wanted: Wanted): Op<IoctlResult> =>
  spapr.v2 ? buildRegistered(spapr, window, wanted) : buildPinned(spapr, window, wanted);

/** The end of what is written of `count` entries; the rest is behind the window. */
function endInside({ bugs }: Spapr, { place }: DmaWindow, entry: number, count: number): number {
  const past = Math.max(0, entry + count - place.first - place.entries);
  bugs.pastTheEnd += past;
  return entry + count - past;
}

/** EINVAL: an IOMMU page that no registration has whole, or whose pages are smaller. */
function* buildRegistered(spapr: Spapr, window: DmaWindow, wanted: Wanted): Op<IoctlResult> {
  const { entry, prot } = wanted;
  const { stretches, refused } = stretchesOf(spapr, window, wanted);
  const count = stretches.reduce((sum, each) => sum + each.count, 0);
  const windowEnd = window.place.first + window.place.entries;
  if (refused) {
    yield* clear(spapr, window, entry, Math.min(entry + count, windowEnd));
    return fail(refused);
  }
  const end = endInside(spapr, window, entry, count);
  for (const { registration, count: more } of stretches) registration.mapped += more;
  yield* clear(spapr, window, entry, end);
  const { scale } = window.table;
  let next = entry;
  for (const { registration, at, count: pages } of stretches) {
    const inside = Math.min(pages, Math.max(0, end - next));
    if (inside === 0) break;
    const piece = { entry: next, count: inside, prot, source: registration.id, at };
    const written = yield* write(spapr, window, piece, framesOf(registration, at, inside * scale));
    if (!written.ok) return yield* giveUp(spapr, window, entry, next, stretches, written.errno);
    window.table.put(piece);
    next += pages;
  }
  return ok(0);
}

/** The domain took nothing from entry `next` on: all is clear again. */
function* giveUp(
  spapr: Spapr,
  window: DmaWindow,
  entry: number,
  next: number,
  stretches: readonly Stretch[],
  errno: Errno,
): Op<IoctlResult> {
  yield* clear(spapr, window, entry, next);
  let at = entry;
  for (const { registration, count } of stretches) {
    if (at >= next) registration.mapped -= count;
    at += count;
  }
  return fail(errno);
}

function stretchesOf(
  { host }: Spapr,
  { place }: DmaWindow,
  { client, count, va }: Wanted,
): { stretches: Stretch[]; refused: Errno | undefined } {
  const shift = BigInt(place.pageShift);
  const stretches: Stretch[] = [];
  for (let left = count; left > 0n;) {
    const registration = host.registrations.containing(client, va, 1n << shift);
    if (!registration || place.pageShift > registration.pageShift) return { stretches, refused: 'EINVAL' };
    const there = (registration.va + registration.bytes - va) >> shift;
    const pages = there < left ? there : left;
    stretches.push({
      registration,
      at: Number((va - registration.va) >> FRAME_SHIFT),
      count: Number(pages),
    });
    va += pages << shift;
    left -= pages;
  }
  return { stretches, refused: undefined };
}

/** EFAULT: a page that cannot be pinned for writing: v1 always asks for that (SURPRISES 66). */
function* buildPinned(spapr: Spapr, window: DmaWindow, { entry, count, va, prot }: Wanted): Op<IoctlResult> {
  const { place } = window;
  const length = count << BigInt(place.pageShift);
  const pinnable = yield* call(PAGES, pagesApi.pinnable, {
    client: spapr.owner!,
    va,
    length: BigInt.asUintN(64, length),
  });
  const pages = Number(pinnable >> BigInt(place.pageShift));
  if (BigInt(pages) < count) {
    yield* clear(spapr, window, entry, Math.min(entry + pages, place.first + place.entries));
    return fail('EFAULT');
  }
  const end = endInside(spapr, window, entry, pages);
  yield* clear(spapr, window, entry, end);
  if (end === entry) return ok(0);
  const piece = { entry, count: end - entry, prot, at: 0 };
  const pinned = yield* pinAndWrite(spapr, window, piece, va);
  if (!pinned.ok) return pinned;
  window.table.put({ ...piece, source: pinned.value });
  return ok(0);
}

/** Pins what a piece is to map, and writes it. Answers the store. */
function* pinAndWrite(
  spapr: Spapr,
  window: DmaWindow,
  piece: Omit<TcePiece, 'source'>,
  va: bigint,
): Op<Result<number>> {
  const { scale } = window.table;
  const frames = piece.count * scale;
  const made = yield* call(PAGES, pagesApi.storeCreate, {
    client: spapr.owner!,
    va,
    length: BigInt(frames) << FRAME_SHIFT,
    writable: true,
    rlimitMode: RLIMIT_UNCHARGED,
    pin: true,
  });
  if (!made.ok) return made;
  const { store } = made.value;
  let { runs, next } = made.value.pinned;
  for (let at = 0; ;) {
    const written = yield* writeAt(spapr, piece.entry * scale + at, runs, piece.prot);
    if (!written.ok) return yield* unpin(spapr, store, piece.entry * scale, at, next, written.errno);
    at = next;
    if (at === frames) break;
    const more = yield* call(PAGES, pagesApi.pin, { store, first: at, count: frames - at });
    if (!more.ok) return yield* unpin(spapr, store, piece.entry * scale, at, at, more.errno);
    ({ runs, next } = more.value);
  }
  spapr.stores.set(store, frames);
  return ok(store);
}

/** `written` granules from `iova` on are in the domain, `pinned` slots of the store are pinned. */
function* unpin(
  { domain }: Spapr,
  store: number,
  iova: number,
  written: number,
  pinned: number,
  errno: Errno,
): Op<Result<never>> {
  if (written > 0) yield* call(IOMMU, iommuApi.unmap, { domains: [domain!], spans: [{ iova, count: written }] });
  yield* call(PAGES, pagesApi.unpin, { store, ranges: [{ first: 0, count: pinned }], release: true });
  return fail(errno);
}

const writeAt = ({ domain }: Spapr, iova: number, runs: Run[], prot: number): Op<Result<void>> =>
  call(IOMMU, iommuApi.map, { domains: [domain!], iova, runs, prot, small: true });

/** A piece into the domain, as many runs at a time as a message takes. ENOMEM: nothing of it is there. */
function* write(spapr: Spapr, { table }: DmaWindow, { entry, prot }: TcePiece, runs: Run[]): Op<Result<void>> {
  const first = entry * table.scale;
  let iova = first;
  for (let i = 0; i < runs.length; i += MAX_RUNS) {
    const some = runs.slice(i, i + MAX_RUNS);
    const written = yield* writeAt(spapr, iova, some, prot);
    if (!written.ok) {
      const spans = iova > first ? [{ iova: first, count: iova - first }] : [];
      if (spans.length > 0) yield* call(IOMMU, iommuApi.unmap, { domains: [spapr.domain!], spans });
      return written;
    }
    iova += some.reduce((sum, run) => sum + run.count, 0);
  }
  return ok(undefined);
}
