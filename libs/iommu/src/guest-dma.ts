/**
 * A DMA through a guest's table: to the granules of the parent, or to the reason why not.
 *
 * Rule: guest memory is read through the parent as it is at that moment, and such a read counts as in flight there, so that
 * an unmap waits for it. While memory is read anything may change: what was found is used only when nothing has.
 */
import { call, type Op, PAGES, pagesApi } from '@vfiolab/core';
import type { Domain } from './domain.js';
import { GRANULE, GRANULE_BITS } from './formats.js';
import type { GuestTable, IotlbEntry } from './guest-table.js';
import { isFault, type Memory, walk, type WalkFault } from './guest-walk.js';
import { isPeer } from './peers.js';
import { granulesOf, type Stretch } from './translate.js';

const ENTRY_BYTES = 8;
const PAGE_MASK = BigInt(GRANULE - 1);

export interface GuestRefusal {
  readonly page: number;
  readonly offset: number;
  readonly fault: WalkFault;
}

/** Runs one access to memory when there is room for it. */
export type Slot = <T>(access: Op<T>) => Op<T>;

/** Where the guest sends each granule of the stretch. `silent`: an entry that aborts; `stale`: an invalidation came between. */
export function* guestPages(
  guest: GuestTable,
  parent: Domain,
  dma: Stretch,
  { write, pasid }: { readonly write: boolean; readonly pasid: number },
  slot: Slot,
): Op<number[] | GuestRefusal | 'silent' | 'stale'> {
  const config = guest.configFor(pasid);
  if (config === 'abort') return 'silent';
  const granules = granulesOf(dma);
  if (config === 'bypass') return granules;
  const memory = memoryOf(parent, slot);
  const { generation } = guest;
  const pages: number[] = [];
  for (const [i, page] of granules.entries()) {
    const known = guest.lookup(pasid, page);
    const found = known && fits(known, write) ? known : yield* walk(guest, { page, pasid, write }, memory);
    if (guest.generation !== generation) return 'stale';
    if (isFault(found)) return { page, offset: i === 0 ? dma.offset : 0, fault: found };
    if (found !== known) guest.remember(pasid, page, found);
    pages.push(found.page);
  }
  return pages;
}

/** Is what the IOTLB holds enough for the access? A refused one is looked up anew, as caches keep no faults. */
const fits = ({ writable, dirty }: IotlbEntry, write: boolean): boolean => !write || (writable && dirty);

function memoryOf(parent: Domain, slot: Slot): Memory {
  const pieceOf = (ipa: bigint, write: boolean): { frame: number; offset: number; length: number } | undefined => {
    const page = Number(ipa >> BigInt(GRANULE_BITS));
    const frame = page < parent.endPage ? parent.table.lookup(page) : -1;
    if (frame < 0 || !(write ? parent.table.foundWritable : parent.table.foundReadable)) return undefined;
    const piece = { frame, offset: Number(ipa & PAGE_MASK), length: ENTRY_BYTES };
    // A guest's table lies in memory, not in a device.
    return isPeer(piece) ? undefined : piece;
  };
  return {
    *fetch(ipa) {
      const piece = pieceOf(ipa, false);
      if (!piece) return undefined;
      const bytes = yield* inFlight(parent, slot(call(PAGES, pagesApi.dmaRead, { pieces: [piece] })));
      return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
    },
    *store(ipa, value) {
      const piece = pieceOf(ipa, true);
      if (!piece) return false;
      parent.table.markDirty(Number(ipa >> BigInt(GRANULE_BITS)));
      const data = new Uint8Array(ENTRY_BYTES);
      new DataView(data.buffer).setBigUint64(0, value, true);
      yield* inFlight(parent, slot(call(PAGES, pagesApi.dmaWrite, { pieces: [piece], data })));
      return true;
    },
  };
}

function* inFlight<T>({ inFlight: flights }: Domain, access: Op<T>): Op<T> {
  const ticket = flights.begin();
  const done = yield* access;
  flights.end(ticket);
  return done;
}
