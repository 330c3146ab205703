/**
 * Event records of an SMMU: what a guest's own driver reads of faults in its tables (semantics C6.4, trace n007).
 *
 * Words: a record has four words: event, substream and stream; the kind of access; the input address; the IPA.
 * Rule: only faults of the guest's tables are the guest's business; a page that the parent refuses is the host's. The bus of
 * the recorded machines tries a refused request again in pieces of 4 bytes, so each piece is an event.
 */
import { type ArgsOf, call, type iommuApi, IOMMUFD, iommufdApi, type Op } from '@vfiolab/core';
import { GRANULE, GRANULE_BITS } from './formats.js';
import type { GuestRefusal } from './guest-dma.js';

const RECORD_BYTES = 32;
const PIECE_BYTES = 4;
/** Of one refused DMA at most: a page. */
const MAX_EVENTS = GRANULE / PIECE_BYTES;
const SUBSTREAM_VALID = 1n << 11n;
const IS_READ = 1n << 35n;
const IPA_MASK = 0xffffffffff000n;

/** The stream is filled in by whoever knows the id that the guest gave the device. */
export function* reportGuestFault(args: ArgsOf<typeof iommuApi.dma>, refusal: GuestRefusal): Op<void> {
  const start = (BigInt(refusal.page) << BigInt(GRANULE_BITS)) | BigInt(refusal.offset);
  const left = Number(args.iova + BigInt(args.length) - start);
  const inPage = Math.min(left, GRANULE - refusal.offset);
  const count = Math.min(Math.ceil(inPage / PIECE_BYTES), MAX_EVENTS);
  const events = Array.from({ length: count }, (_, i) => recordOf(args, refusal, start + BigInt(i * PIECE_BYTES)));
  yield* call(IOMMUFD, iommufdApi.guestEvents, { bdf: args.bdf, events });
}

function recordOf({ pasid, write }: ArgsOf<typeof iommuApi.dma>, { fault }: GuestRefusal, address: bigint): Uint8Array {
  const record = new Uint8Array(RECORD_BYTES);
  const view = new DataView(record.buffer);
  const substream = pasid === undefined ? 0n : SUBSTREAM_VALID | (BigInt(pasid) << 12n);
  view.setBigUint64(0, BigInt(fault.event) | substream, true);
  view.setBigUint64(8, (write ? 0n : IS_READ) | (BigInt(fault.access) << 40n), true);
  view.setBigUint64(16, address, true);
  view.setBigUint64(24, (fault.ipa ?? 0n) & IPA_MASK, true);
  return record;
}
