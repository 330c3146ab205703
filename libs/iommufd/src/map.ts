/**
 * Putting areas into an IOAS: the part that MAP and COPY share.
 *
 * Rule: places are taken before memory is pinned, and given back when pinning fails (semantics B2.6).
 */
import { fail, ok, type Result } from '@vfiolab/uapi';
import { call, type Op, PAGES, pagesApi } from '@vfiolab/core';
import { clear, fillArea, unpinArea } from './fill.js';
import { type Area, type Ioas, sourceOf, type Store } from './ioas.js';
import type { ProfileFlags } from './profile-flags.js';
import { U64_MAX } from './spans.js';
import { pagesStore, release } from './stores.js';

export interface UserRange {
  readonly client: string;
  readonly va: bigint;
  readonly length: bigint;
  readonly prot: number;
  readonly writable: boolean;
  readonly rlimitMode: number;
  /** The pages are those of a file, and `va` is a byte of it; `token` undefined: a file of another service. */
  readonly file?: { readonly token: string | undefined };
}

const SIZE_LIMIT = U64_MAX - 4096n;

/** Can there be memory at [va, va + length)? EINVAL: empty or too long; EOVERFLOW: it wraps. */
export function judgeRange(va: bigint, length: bigint, { mapWrapFirst }: ProfileFlags): Result<void> {
  const wraps = va + length > U64_MAX;
  if (wraps && mapWrapFirst) return fail('EOVERFLOW');
  if (length > SIZE_LIMIT || length === 0n) return fail('EINVAL');
  return wraps ? fail('EOVERFLOW') : ok(undefined);
}

/**
 * Maps a client's memory at `fixed`, or where it fits. With a domain the pages are pinned, charged and written before the
 * answer; without one they are only remembered (B2.5). EINVAL, EOVERFLOW, EEXIST, ENOSPC, EFAULT, ENOMEM.
 */
export function* mapUser(ioas: Ioas, range: UserRange, fixed: bigint | undefined): Op<Result<bigint>> {
  yield ioas.domainsLock.reading;
  const mapped = yield* mapUserLocked(ioas, range, fixed);
  yield ioas.domainsLock.unlocking;
  return mapped;
}

function* mapUserLocked(ioas: Ioas, range: UserRange, fixed: bigint | undefined): Op<Result<bigint>> {
  const start = ioas.place(range.length, fixed, range.va);
  if (!start.ok) return start;
  const area = newArea(start.value, range.length, range.va, range.va % 4096n, range.prot);
  const placed = ioas.insert(area);
  if (!placed.ok) return placed;
  const { client, va, length, writable, rlimitMode } = range;
  const pin = ioas.hwpts.length > 0;
  const shared = { client, length, writable, rlimitMode, pin };
  const made = range.file
    ? yield* call(PAGES, pagesApi.storeCreateFile, { ...shared, start: va, token: range.file.token })
    : yield* call(PAGES, pagesApi.storeCreate, { ...shared, va });
  if (!made.ok) {
    ioas.areas.delete(area);
    return made;
  }
  const store = pagesStore(made.value.store, client, va, writable);
  const filled = yield* fillArea(area, store, ioas.hwpts, pin ? made.value.pinned : undefined);
  if (!filled.ok) {
    yield* release(store);
    ioas.areas.delete(area);
    return filled;
  }
  goLive(area, store);
  return start;
}

export const newArea = (start: bigint, length: bigint, source: bigint, startByte: bigint, prot: number): Area => ({
  start,
  last: start + length - 1n,
  store: undefined,
  source,
  startByte,
  prot,
  state: 'building',
  covers: 0,
  accesses: 0,
  locks: 0,
  closedToAccesses: false,
});

export function goLive(area: Area, store: Store): void {
  area.store = store;
  area.state = 'live';
  store.areas++;
}

/** A slice of a store that another area shows. */
export interface Slice {
  readonly store: Store;
  readonly startByte: bigint;
  readonly length: bigint;
}

/**
 * Maps slices of stores one behind the other. The caller holds a reference on each store.
 * No new pin is made where a domain holds the pages already, no new charge (B3.4).
 * EINVAL, EOVERFLOW, EEXIST, ENOSPC, EPERM (a read-only store asked to be writable), EFAULT, ENOMEM.
 */
export function* mapSlices(
  ioas: Ioas,
  slices: readonly Slice[],
  prot: number,
  writable: boolean,
  fixed: bigint | undefined,
): Op<Result<bigint>> {
  yield ioas.domainsLock.reading;
  const mapped = yield* mapSlicesLocked(ioas, slices, prot, writable, fixed);
  yield ioas.domainsLock.unlocking;
  return mapped;
}

function* mapSlicesLocked(
  ioas: Ioas,
  slices: readonly Slice[],
  prot: number,
  writable: boolean,
  fixed: bigint | undefined,
): Op<Result<bigint>> {
  const length = slices.reduce((sum, s) => sum + s.length, 0n);
  const first = slices[0]!;
  const start = ioas.place(length, fixed, sourceOf(first.store, first.startByte));
  if (!start.ok) return start;
  const areas: Area[] = [];
  const inserted = insertSlices(ioas, slices, prot, writable, start.value, areas);
  if (!inserted.ok) return inserted;
  const filled = yield* fillSlices(ioas, slices, areas);
  if (!filled.ok) return filled;
  areas.forEach((area, i) => goLive(area, slices[i]!.store));
  return start;
}

function insertSlices(
  ioas: Ioas,
  slices: readonly Slice[],
  prot: number,
  writable: boolean,
  start: bigint,
  areas: Area[],
): Result<void> {
  let iova = start;
  for (const s of slices) {
    const area = newArea(iova, s.length, sourceOf(s.store, s.startByte), s.startByte, prot);
    const placed = writable && !s.store.writable ? fail('EPERM') : ioas.insert(area);
    if (!placed.ok) {
      for (const a of areas) ioas.areas.delete(a);
      return placed;
    }
    areas.push(area);
    iova += s.length;
  }
  return ok(undefined);
}

/** Fills all areas or none. */
function* fillSlices(ioas: Ioas, slices: readonly Slice[], areas: readonly Area[]): Op<Result<void>> {
  for (let i = 0; i < areas.length; i++) {
    const filled = yield* fillArea(areas[i]!, slices[i]!.store, ioas.hwpts);
    if (filled.ok) continue;
    for (let undo = 0; undo < i; undo++) {
      yield* clear([areas[undo]!], ioas.hwpts);
      yield* unpinArea(areas[undo]!, slices[undo]!.store);
    }
    for (const area of areas) ioas.areas.delete(area);
    return filled;
  }
  return ok(undefined);
}
