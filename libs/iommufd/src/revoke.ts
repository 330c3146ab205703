/**
 * Memory that was lent goes back to its owner: out of every domain.
 *
 * Rule: it answers when no domain has a PTE to the memory any more. The caller has marked the stores as revoked before, so
 * fills that begin from now on skip them.
 */
import { lockWrite, type Op, unlock } from '@vfiolab/core';
import { type Context, isIoas } from './context.js';
import { clear } from './fill.js';
import type { Ioas, Store } from './ioas.js';

export type WhichStores = (store: Store) => boolean;

export function* emptyEverywhere(contexts: Iterable<Context>, which: WhichStores): Op<void> {
  const all = [...contexts].flatMap((context) => context.objects.all().filter(isIoas));
  for (const ioas of all.filter((each) => mayShow(each, which))) yield* emptyIn(ioas, which);
}

/** An area that is being built does not tell yet. */
const mayShow = (ioas: Ioas, which: WhichStores): boolean =>
  [...ioas.areas].some(({ store }) => !store || which(store));

/** Held for writing, the lock waits for fills on their way, of areas and of domains, so that none writes PTEs later. */
function* emptyIn(ioas: Ioas, which: WhichStores): Op<void> {
  yield* lockWrite(ioas.domainsLock);
  const areas = [...ioas.areas].filter(({ store }) => store && which(store));
  if (areas.length > 0) yield* clear(areas, ioas.hwpts);
  yield* unlock(ioas.domainsLock);
}
