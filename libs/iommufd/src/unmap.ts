/**
 * Taking areas out of an IOAS.
 *
 * Rule: PTEs go from every domain and the flush is done, then the pins go, then the area and the answer (invariant I05).
 */
import type { Errno } from '@vfiolab/uapi';
import { lockRead, type Op, unlock } from '@vfiolab/core';
import { dropPins } from './access.js';
import { clear, UNPIN_BATCH } from './fill.js';
import { type Area, areaLength, type Ioas } from './ioas.js';
import { type IovaSpan, U64_MAX } from './spans.js';
import { leaveStores } from './stores.js';

/** How far an unmap came: `errno` says why it did not come to the end. */
export interface Unmapped {
  readonly bytes: bigint;
  readonly errno: Errno | undefined;
}

/** An access that was told so often and still holds pins never lets go. */
const MAX_TRIES = 100;

/**
 * Removes every area that lies wholly in the span, in order, and answers the bytes removed; areas before the one that is
 * refused are gone. EBUSY: an area is being mapped or unmapped by somebody else, or belongs to a hardware queue. ENOENT: the
 * span cuts an area. EDEADLK: an access does not let go of one (semantics B7.2).
 */
export function* unmapSpan(ioas: Ioas, span: IovaSpan): Op<Unmapped> {
  yield* lockRead(ioas.domainsLock);
  const { taken, refused } = take(ioas, span);
  const free = yield* askAccesses(ioas, taken);
  const gone = taken.slice(0, free);
  for (const area of taken.slice(free)) area.state = 'live';
  yield* empty(ioas, gone);
  yield* unlock(ioas.domainsLock);
  const errno = free < taken.length ? 'EDEADLK' : refused;
  return { bytes: gone.reduce((sum, a) => sum + areaLength(a), 0n), errno };
}

function take(ioas: Ioas, span: IovaSpan): { taken: Area[]; refused: Errno | undefined } {
  const taken: Area[] = [];
  let refused: Errno | undefined;
  for (const area of ioas.areas.within(span)) {
    if (area.state !== 'live' || area.locks > 0) refused = 'EBUSY';
    else if (area.start < span.start || area.last > span.last) refused = 'ENOENT';
    if (refused) break;
    taken.push(area);
  }
  for (const area of taken) area.state = 'unmapping';
  return { taken, refused };
}

function* empty(ioas: Ioas, areas: readonly Area[]): Op<void> {
  if (areas.length === 0) return;
  if (ioas.hwpts.length > 0) yield* clear(areas, ioas.hwpts);
  for (let i = 0; i < areas.length; i += UNPIN_BATCH) yield* unpinBatch(ioas, areas.slice(i, i + UNPIN_BATCH));
}

function* unpinBatch(ioas: Ioas, areas: readonly Area[]): Op<void> {
  yield* leaveStores(areas);
  for (const area of areas) ioas.areas.delete(area);
}

/** How many of the areas have no pins of accesses any more: all, or those before one that somebody keeps. */
function* askAccesses(ioas: Ioas, areas: readonly Area[]): Op<number> {
  for (const [i, area] of areas.entries()) {
    if (area.accesses === 0) continue;
    // Nothing is pinned in it from now on, also when it stays.
    area.closedToAccesses = true;
    for (let tries = 0; area.accesses > 0 && tries <= MAX_TRIES; tries++) yield* notify(ioas, area);
    if (area.accesses > 0) return i;
  }
  return areas.length;
}

/** Tells the accesses that the area goes; those that listen let go of what they pinned in it before they return. */
function* notify(ioas: Ioas, area: Area): Op<void> {
  for (const access of [...ioas.accesses]) if (!access.deaf) yield* dropPins(access, area);
}

/** Empties an IOAS that nobody uses any more. */
export function* removeAll(ioas: Ioas): Op<void> {
  yield* unmapSpan(ioas, { start: 0n, last: U64_MAX });
}
