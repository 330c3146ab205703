/**
 * Memory that functions lend out by dma-bufs: what MAP_FILE took of it, and what becomes of that (semantics B8.2, B8.3).
 *
 * Words: *peer memory* is the registers of a function; its frames are the IOMMU's, and nobody pins or pays for them.
 * Rule: a function that takes its memory back takes it from every store that there is, for good. It waits for those that are
 * being taken, so none slips through; those that come after it asks the function anew.
 */
import {
  type Address,
  type ByteReader,
  type ByteWriter,
  call,
  deviceApi,
  type FdArgument,
  Lock,
  type Op,
  type Run,
} from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import type { Store } from './ioas.js';

/** Stores over peer memory of one host; one more is ENOMEM. */
export const MAX_PEER_STORES = 1 << 16;

/** What one store shows. */
export class PeerMemory {
  readonly kind = 'peer';
  /** Only real devices reach it. */
  readonly mock = false;

  constructor(
    /** Whose registers they are. */
    readonly device: Address,
    /** Where the dma-buf begins, and its pages. */
    readonly frame: number,
    readonly pages: number,
    private readonly owner: PeerStores,
  ) {}

  runs(first: number, count: number): Run[] {
    if (first + count > this.pages) throw new Error(`pages ${first} + ${count} of a dma-buf of ${this.pages}`);
    return [{ frame: this.frame + first, count }];
  }

  release(store: Store): void {
    this.owner.stores.delete(store.id);
  }

  encode(w: ByteWriter, snapshot: boolean): void {
    w.str(this.device);
    w.num(this.pages);
    if (snapshot) w.num(this.frame);
  }
}

export class PeerStores {
  readonly stores = new Map<number, Store>();
  nextStore = 1;
  /** Held for reading while a function is asked for memory, for writing by one that takes it back. */
  readonly asking = new Lock();

  /**
   * A store over bytes [start, start + length) of the dma-buf behind `file`, with one reference, which is the caller's. The
   * caller holds `asking`. EBADF: it is no dma-buf; ENOMEM; else as the function answers.
   */
  *open(file: FdArgument, client: string, start: bigint, length: bigint, writable: boolean): Op<Result<Store>> {
    if (this.stores.size >= MAX_PEER_STORES) return fail('ENOMEM');
    const { token, owner } = file;
    const opened = yield* call(owner, deviceApi.dmabufOpen, { token, client, start, length });
    if (!opened.ok) return opened;
    const memory = new PeerMemory(owner, opened.value.frame, opened.value.pages, this);
    const id = this.nextStore++;
    const store = { id, client, va: start, writable, areas: 1, unpinning: 0, dmabuf: memory, revoked: false };
    this.stores.set(id, store);
    return ok(store);
  }

  /** Whose memory stores show. */
  lenders(): Address[] {
    const shown = [...this.stores.values()].filter(({ revoked }) => !revoked);
    return [...new Set(shown.map(({ dmabuf }) => (dmabuf as PeerMemory).device))];
  }

  /** From now on these stores have no memory. */
  revoke(device: Address): void {
    for (const store of this.stores.values()) if (isOf(store, device)) store.revoked = true;
  }

  decode(r: ByteReader): PeerMemory {
    const [device, pages, frame] = [r.str(), r.num(), r.num()];
    return new PeerMemory(device, frame, pages, this);
  }

  check(): string[] {
    return [...this.stores.values()].some(({ areas }) => areas <= 0) ? ['I24: a store without areas is left'] : [];
  }
}

/** Does the store show memory of the function? */
export const isOf = ({ dmabuf }: Store, device: Address): boolean =>
  dmabuf?.kind === 'peer' && dmabuf.device === device;
