/**
 * Taking areas out of an IOAS.
 *
 * Rule: PTEs go from every domain and the flush is done, then the pins go, then the area and the answer (invariant I05).
 */
import { type Errno, fail, ok, type Result } from '@vfiolab/uapi';
import { lockRead, type Op, unlock } from '@vfiolab/core';
import { clear, unpinArea } from './fill.js';
import { type Area, areaLength, type Ioas } from './ioas.js';
import { type IovaSpan, U64_MAX } from './spans.js';

/**
 * Removes every area that lies wholly in the span, in order, and answers the bytes removed.
 * EBUSY: an area is being mapped or unmapped by somebody else. ENOENT: the span cuts an area. Areas before it are gone.
 */
export function* unmapSpan(ioas: Ioas, span: IovaSpan): Op<Result<bigint>> {
  yield* lockRead(ioas.domainsLock);
  const { taken, refused } = take(ioas, span);
  yield* empty(ioas, taken);
  yield* unlock(ioas.domainsLock);
  return refused ? fail(refused) : ok(taken.reduce((sum, a) => sum + areaLength(a), 0n));
}

function take(ioas: Ioas, span: IovaSpan): { taken: Area[]; refused: Errno | undefined } {
  const taken: Area[] = [];
  let refused: Errno | undefined;
  for (const area of ioas.areas.within(span)) {
    if (area.state !== 'live') refused = 'EBUSY';
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
  for (const area of areas) {
    const store = area.store!;
    yield* unpinArea(area, store.id, --store.areas === 0);
    ioas.areas.delete(area);
  }
}

/** Empties an IOAS that nobody uses any more. */
export function* removeAll(ioas: Ioas): Op<void> {
  yield* unmapSpan(ioas, { start: 0n, last: U64_MAX });
}
