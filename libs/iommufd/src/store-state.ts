/**
 * The store behind an area, as bytes.
 *
 * Rule: areas that showed one store show one store again. Stores of the pages service are told apart by their number
 * there, those of a dma-buf by their number in it.
 */
import type { ByteReader, ByteWriter, View } from '@vfiolab/core';
import type { Store } from './ioas.js';
import type { Dmabufs } from './selftest/dmabuf.js';

/** No dma-buf; else its slot, counted from 1. */
const NO_DMABUF = 0;

export function encodeStore(w: ByteWriter, store: Store, view: View): void {
  w.str(store.client);
  w.u64(store.va);
  w.bool(store.writable);
  w.u32(store.dmabuf ? store.dmabuf.slot + 1 : NO_DMABUF);
  w.bool(store.revoked);
  if (view === 'snapshot') w.num(store.id);
}

/** The stores that were read so far. */
export class KnownStores {
  private readonly ofPages = new Map<number, Store>();

  constructor(private readonly dmabufs: Dmabufs) {}

  /** The store of one more area. */
  decode(r: ByteReader): Store {
    const [client, va, writable, slot, revoked, id] = [r.str(), r.u64(), r.bool(), r.u32(), r.bool(), r.num()];
    const dmabuf = slot === NO_DMABUF ? undefined : this.dmabufs.at(slot - 1);
    const known = dmabuf ? dmabuf.stores : this.ofPages;
    const store = known.get(id) ?? { id, client, va, writable, areas: 0, unpinning: 0, dmabuf, revoked };
    known.set(id, store);
    store.areas++;
    return store;
  }
}
