/**
 * Stores that areas show: who gives one back.
 *
 * Rule: a store is released once, by whoever lets go of it last, and only after every other request to give up pins of it
 * was answered: requests can overtake each other.
 */
import { call, type Op, PAGES, pagesApi, type Unpinning } from '@vfiolab/core';
import { unpinningOf } from './fill.js';
import type { Area, Store } from './ioas.js';

const isLeft = (store: Store): boolean => store.areas === 0 && store.unpinning === 0;

/** One of the pages service that no area shows yet. */
export const pagesStore = (id: number, client: string, va: bigint, writable: boolean): Store => ({
  id,
  client,
  va,
  writable,
  areas: 0,
  unpinning: 0,
  dmabuf: undefined,
  revoked: false,
});

/** The areas no longer show their stores, and all their pins go: UNPIN_BATCH areas at most. */
export function* leaveStores(areas: readonly Area[]): Op<void> {
  const stores: Unpinning[] = [];
  const staying = new Set<Store>();
  for (const area of areas) {
    const store = area.store!;
    store.areas--;
    const last = isLeft(store);
    const wanted = unpinningOf(area, store, last);
    if (wanted) stores.push(wanted);
    if (!last) {
      staying.add(store);
      continue;
    }
    staying.delete(store);
    store.dmabuf?.release(store);
  }
  for (const store of staying) store.unpinning++;
  if (stores.length > 0) yield* call(PAGES, pagesApi.unpinMany, { stores });
  for (const store of staying) store.unpinning--;
  for (const store of staying) if (isLeft(store)) yield* release(store);
}

/** A reference that was not an area's goes. */
export function* putStore(store: Store): Op<void> {
  store.areas--;
  if (isLeft(store)) yield* release(store);
}

/** Nothing shows the store, and nothing of it is pinned. */
export function* release(store: Store): Op<void> {
  if (store.dmabuf) store.dmabuf.release(store);
  else yield* call(PAGES, pagesApi.unpin, { store: store.id, ranges: [], release: true });
}
