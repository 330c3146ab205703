/**
 * DMA of devices that have no IOMMU: it goes to the physical address that the device names.
 *
 * Rule (semantics A4.4): nothing is translated and nothing refused; whosever memory it is, it is read and written. Each such
 * DMA comes by a method of its own, so that journals tell it from others, and is counted for its device.
 */
import {
  type ArgsOf,
  DEVICE_FRAMES,
  type DmaPiece,
  type iommuApi,
  MAX_DMA,
  type Op,
  PAGES,
  pagesApi,
  call,
} from '@vfiolab/core';
import { GRANULE, GRANULE_BITS } from './formats.js';
import { transferToPeers } from './peers.js';
import type { Unit } from './unit.js';

const NO_BYTES = new Uint8Array(0);
/** Memory and devices end here: frames beyond are nobody's. */
const END = BigInt(2 * DEVICE_FRAMES) << BigInt(GRANULE_BITS);
const DEVICES = BigInt(DEVICE_FRAMES) << BigInt(GRANULE_BITS);

export function* dmaUnprotected(unit: Unit, dma: ArgsOf<typeof iommuApi.dmaUnprotected>): Op<Uint8Array> {
  const { bdf, address, write, length, data } = dma;
  if (length > MAX_DMA || data.length !== (write ? length : 0)) return NO_BYTES;
  unit.countUnprotected(bdf);
  if (address + BigInt(length) > END) return write ? NO_BYTES : new Uint8Array(length).fill(0xff);
  if (address >= DEVICES) return yield* transferToPeers(piecesOf(Number(address), length), write, data);
  if (!write) return yield* call(PAGES, pagesApi.physicalRead, { address: Number(address), length });
  yield* call(PAGES, pagesApi.physicalWrite, { address: Number(address), data });
  return NO_BYTES;
}

/** Page by page: neighbours may be windows of different devices. */
function piecesOf(address: number, length: number): DmaPiece[] {
  const pieces: DmaPiece[] = [];
  for (let at = address, end = address + length; at < end;) {
    const offset = at % GRANULE;
    const part = Math.min(GRANULE - offset, end - at);
    pieces.push({ frame: (at - offset) / GRANULE, offset, length: part });
    at += part;
  }
  return pieces;
}
