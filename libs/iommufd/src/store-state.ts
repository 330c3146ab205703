/**
 * The store behind an area, as bytes.
 *
 * Rule: areas that showed one store show one store again. Stores of the pages service are told apart by their number
 * there, those of a dma-buf by their number in it, those over
 * peer memory by a number of their own.
 */
import type { ByteReader, ByteWriter, View } from '@vfiolab/core';
import type { Store } from './ioas.js';
import type { PeerStores } from './peer-memory.js';
import type { Dmabufs } from './selftest/dmabuf.js';

/** No dma-buf, peer memory, or a dma-buf of the self-test: its slot counted from here. */
const NO_DMABUF = 0;
const PEER = 1;
const FIRST_SLOT = 2;

function kindOf({ dmabuf }: Store): number {
  if (!dmabuf) return NO_DMABUF;
  return dmabuf.kind === 'peer' ? PEER : FIRST_SLOT + dmabuf.slot;
}

export function encodeStore(w: ByteWriter, store: Store, view: View): void {
  w.str(store.client);
  w.u64(store.va);
  w.bool(store.writable);
  w.u32(kindOf(store));
  if (store.dmabuf?.kind === 'peer') store.dmabuf.encode(w, view === 'snapshot');
  w.bool(store.revoked);
  if (view === 'snapshot') w.num(store.id);
}

/** The stores that were read so far. */
export class KnownStores {
  private readonly ofPages = new Map<number, Store>();

  constructor(
    private readonly dmabufs: Dmabufs,
    private readonly peers: PeerStores,
  ) {}

  /** The store of one more area. */
  decode(r: ByteReader): Store {
    const [client, va, writable, kind] = [r.str(), r.u64(), r.bool(), r.u32()];
    const peer = kind === PEER ? this.peers.decode(r) : undefined;
    const [revoked, id] = [r.bool(), r.num()];
    const dmabuf = kind >= FIRST_SLOT ? this.dmabufs.at(kind - FIRST_SLOT) : peer;
    const known = peer
      ? this.peers.stores
      : kind >= FIRST_SLOT
        ? this.dmabufs.at(kind - FIRST_SLOT).stores
        : this.ofPages;
    const store = known.get(id) ?? { id, client, va, writable, areas: 0, unpinning: 0, dmabuf, revoked };
    known.set(id, store);
    store.areas++;
    return store;
  }
}
