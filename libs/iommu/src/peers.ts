/**
 * DMA that reaches other devices (peer to peer): through a mapping of device memory.
 *
 * Rule: memory and devices are reached piece by piece, in the order of the bytes; what no device answers reads as ones.
 */
import { call, DEVICE_FRAMES, deviceAddress, deviceApi, type DmaPiece, type Op, PAGES, pagesApi } from '@vfiolab/core';
import { GRANULE } from './formats.js';

export const isPeer = ({ frame }: DmaPiece): boolean => frame >= DEVICE_FRAMES;

/** Answers what was read, as long as all pieces; nothing for a write. */
export function* transferToPeers(pieces: readonly DmaPiece[], write: boolean, data: Uint8Array): Op<Uint8Array> {
  const total = write ? 0 : pieces.reduce((sum, piece) => sum + piece.length, 0);
  const read = new Uint8Array(total);
  let at = 0;
  for (const piece of pieces) {
    const end = at + piece.length;
    if (write) yield* writePiece(piece, data.slice(at, end));
    else read.set(yield* readPiece(piece), at);
    at = end;
  }
  return read;
}

function* writePiece(piece: DmaPiece, data: Uint8Array): Op<void> {
  if (!isPeer(piece)) return yield* call(PAGES, pagesApi.dmaWrite, { pieces: [piece], data });
  const window = yield* call(PAGES, pagesApi.deviceWindow, { frame: piece.frame });
  if (!window) return;
  const offset = window.page * GRANULE + piece.offset;
  yield* call(deviceAddress(window.bdf), deviceApi.peerWrite, { region: window.region, offset, data });
}

function* readPiece(piece: DmaPiece): Op<Uint8Array> {
  const { frame, offset, length } = piece;
  if (!isPeer(piece)) return yield* call(PAGES, pagesApi.dmaRead, { pieces: [piece] });
  const window = yield* call(PAGES, pagesApi.deviceWindow, { frame });
  if (!window) return new Uint8Array(length).fill(0xff);
  const place = { region: window.region, offset: window.page * GRANULE + offset, length };
  return yield* call(deviceAddress(window.bdf), deviceApi.peerRead, place);
}
