/**
 * Accesses: users of an IOAS inside the kernel, without an IOMMU (semantics B7).
 *
 * Words: a *pin item* is what one call pinned: slices of the stores behind a range of IOVA, each covered once more.
 * Rule: an area that has pins of an access is unmapped only after the access was told and let go of them; from then on
 * nothing can be pinned there. Held while pins change: `lock`.
 */
import { fail, ok, PAGE_SIZE, type Result } from '@vfiolab/uapi';
import {
  call,
  deviceAddress,
  deviceApi,
  Lock,
  lockWrite,
  type Op,
  PAGES,
  pagesApi,
  PROT_READ,
  PROT_WRITE,
  type Run,
  unlock,
} from '@vfiolab/core';
import type { Context } from './context.js';
import type { Area, Ioas } from './ioas.js';
import type { IommufdObject } from './objects.js';
import { type IovaSpan, overlaps, U64_MAX } from './spans.js';

const PAGE = BigInt(PAGE_SIZE);

/** Slots [first, first + count) of an area's store, covered by one item. */
export interface PinnedSlice {
  readonly area: Area;
  readonly first: number;
  readonly count: number;
}

export interface PinItem extends IovaSpan {
  readonly id: number;
  readonly slices: readonly PinnedSlice[];
}

export class Access implements IommufdObject {
  readonly type = 'access';
  id = 0;
  /** The table's and the driver's reference. */
  users = 2;
  readonly shortTerm = new Lock();
  readonly lock = new Lock();
  ioas: Ioas | undefined;
  items: PinItem[] = [];
  nextItem = 0;
  /** Its driver does not listen when it is told that IOVAs go away: a fault, put in by whoever holds the file. */
  deaf = false;

  /** `mdev`: the mediated device whose driver has it. */
  constructor(
    readonly pins: boolean,
    readonly mdev?: string,
  ) {}
}

/** An access that pins wants whole pages of the kernel. EADDRINUSE: areas of the IOAS are none. */
export function joinIoas(access: Access, ioas: Ioas): Result<void> {
  const conforms = access.pins ? ioas.checkAlignment(ioas.page) : ok(undefined);
  if (!conforms.ok) return conforms;
  ioas.accesses.push(access);
  ioas.alignment = ioas.wantedAlignment();
  ioas.users++;
  access.ioas = ioas;
  return ok(undefined);
}

/** The access lets go of everything it pinned and leaves its IOAS. */
export function* leaveIoas(access: Access): Op<void> {
  const { ioas } = access;
  if (!ioas) return;
  access.ioas = undefined;
  yield* tellDriver(access, { start: 0n, last: U64_MAX });
  yield* lockWrite(access.lock);
  yield* dropPinsLocked(access, { start: 0n, last: U64_MAX });
  yield* unlock(access.lock);
  ioas.accesses.splice(ioas.accesses.indexOf(access), 1);
  ioas.alignment = ioas.wantedAlignment();
  ioas.users--;
}

/** Everything it pinned goes, and the object. */
export function* destroyAccess(context: Context, access: Access): Op<void> {
  yield* leaveIoas(access);
  yield* lockWrite(access.shortTerm);
  context.objects.remove(access);
}

/** To another IOAS; the old one stays when the new one does not take it. EADDRINUSE. */
export function* replaceIoas(access: Access, to: Ioas): Op<Result<void>> {
  const from = access.ioas;
  if (from === to) return ok(undefined);
  const joined = joinIoas(access, to);
  if (!joined.ok) return joined;
  access.ioas = from;
  yield* leaveIoas(access);
  access.ioas = to;
  return ok(undefined);
}

/** The driver of a mediated device is told, and unpins what it has pinned there. */
function* tellDriver({ mdev, items }: Access, { start, last }: IovaSpan): Op<void> {
  if (mdev === undefined || !items.some((item) => overlaps(item, { start, last }))) return;
  const pages = { first: Number(start / PAGE), last: Number(last / PAGE) };
  yield* call(deviceAddress(mdev), deviceApi.dmaUnmap, pages);
}

/** IOVAs go away: whoever has the access lets go of what it pinned there. Other drivers than a device's are here. */
export function* dropPins(access: Access, span: IovaSpan): Op<void> {
  if (access.mdev !== undefined) return yield* tellDriver(access, span);
  yield* lockWrite(access.lock);
  yield* dropPinsLocked(access, span);
  yield* unlock(access.lock);
}

function* dropPinsLocked(access: Access, span: IovaSpan): Op<void> {
  const gone = access.items.filter((item) => overlaps(item, span));
  access.items = access.items.filter((item) => !gone.includes(item));
  for (const item of gone) yield* unpinSlices(item.slices);
}

export function* unpinSlices(slices: readonly PinnedSlice[]): Op<void> {
  for (const { area, first, count } of slices) {
    yield* call(PAGES, pagesApi.unpin, { store: area.store!.id, ranges: [{ first, count }], release: false });
    area.accesses--;
  }
}

/** As pinPages, for the driver of a device: answers the number of what it pinned. EINVAL: nothing; EOVERFLOW; ENOENT: no IOAS. */
export function* pinItem(access: Access, start: bigint, length: bigint, write: boolean): Op<Result<{ item: number }>> {
  const last = start + length - 1n;
  if (length === 0n) return fail('EINVAL');
  if (last > U64_MAX) return fail('EOVERFLOW');
  yield* lockWrite(access.lock);
  if (!access.ioas) return fail('ENOENT');
  const pinned = yield* pinPages(access.ioas, { start, last }, write);
  if (!pinned.ok) return pinned;
  const id = access.nextItem++;
  access.items.push({ id, start, last, slices: pinned.value.slices });
  return ok({ item: id });
}

/** What is not there is nothing. */
export function* unpinItem(access: Access, id: number): Op<void> {
  yield* lockWrite(access.lock);
  const gone = access.items.filter((item) => item.id === id);
  access.items = access.items.filter((item) => item.id !== id);
  for (const { slices } of gone) yield* unpinSlices(slices);
}

/** Part [start, last] of the area, as the caller asked for it. */
interface Piece extends IovaSpan {
  readonly area: Area;
}

/**
 * The areas behind a range without a hole, from the front. `rest`: how the walk ended, to be told after the pieces before
 * it were dealt with: ENOENT (a hole), EINVAL (an area that is going).
 */
export function piecesOf(ioas: Ioas, span: IovaSpan): { pieces: Piece[]; rest: Result<void> } {
  const pieces: Piece[] = [];
  let at = span.start;
  for (const area of ioas.areas.within(span)) {
    if (area.start > at || area.state === 'building') break;
    if (area.state === 'unmapping' || area.closedToAccesses) return { pieces, rest: fail('EINVAL') };
    const last = area.last < span.last ? area.last : span.last;
    pieces.push({ area, start: at, last });
    at = last + 1n;
  }
  return { pieces, rest: at === span.last + 1n ? ok(undefined) : fail('ENOENT') };
}

/** Does the piece begin on a page of its store and, unless it is the last, end on one? */
const wholePages = ({ area, start, last }: Piece, isLast: boolean): boolean =>
  byteOf(area, start) % PAGE === 0n && (isLast || (byteOf(area, last) + 1n) % PAGE === 0n);

/** Is this direction in the area's protection, and in its store's? */
export const permits = ({ prot, store }: Area, write: boolean): boolean =>
  write ? (prot & PROT_WRITE) !== 0 && store!.writable : (prot & PROT_READ) !== 0;

export const byteOf = (area: Area, iova: bigint): bigint => area.startByte + (iova - area.start);

export interface Pinned {
  readonly slices: PinnedSlice[];
  readonly runs: Run[];
}

/**
 * Pins the pages behind the range. The caller holds the access's lock.
 * EINVAL: not on page boundaries, being unmapped, or a dma-buf's (c070); EPERM; ENOENT: a hole; EFAULT, ENOMEM: pinning failed.
 */
export function* pinPages(ioas: Ioas, span: IovaSpan, write: boolean): Op<Result<Pinned>> {
  const { pieces, rest } = piecesOf(ioas, span);
  const done: Pinned = { slices: [], runs: [] };
  for (const piece of pieces) {
    const whole = wholePages(piece, piece.last === span.last);
    const pinned = whole ? yield* pinPiece(piece, write, done) : fail('EINVAL');
    if (pinned.ok) continue;
    yield* unpinSlices(done.slices);
    return pinned;
  }
  if (rest.ok) return ok(done);
  yield* unpinSlices(done.slices);
  return rest;
}

function* pinPiece({ area, start, last }: Piece, write: boolean, done: Pinned): Op<Result<void>> {
  // While the piece before it was pinned, this one may have gone.
  if (area.state !== 'live' || area.closedToAccesses) return fail('EINVAL');
  if (!permits(area, write)) return fail('EPERM');
  const store = area.store!;
  if (store.dmabuf) return fail('EINVAL');
  const first = Number(byteOf(area, start) / PAGE);
  const count = Number(byteOf(area, last) / PAGE) - first + 1;
  area.accesses++;
  const pinned = yield* call(PAGES, pagesApi.pin, { store: store.id, first, count });
  if (!pinned.ok) {
    area.accesses--;
    return pinned;
  }
  done.slices.push({ area, first, count });
  done.runs.push(...pinned.value.runs);
  return ok(undefined);
}
