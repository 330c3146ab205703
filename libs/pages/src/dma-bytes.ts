/**
 * Bytes that devices read and write: in frames of the host, in lent memory, and in memory that a client answers for.
 *
 * Rule: only pinned frames may be asked for; that another one is, is a bug of an IOMMU's: fail closed (I02, I04).
 */
import { type DmaPiece, MAX_DMA, type Op } from '@vfiolab/core';
import type { Frames } from './frames.js';
import { PAGE } from './page.js';
import { type RemoteMemory, stretches } from './remote-memory.js';

export class DmaBytes {
  constructor(
    private readonly frames: Frames,
    private readonly remote: RemoteMemory,
  ) {}

  read(pieces: readonly DmaPiece[]): Uint8Array | Op<Uint8Array> {
    const out = new Uint8Array(this.length(pieces));
    if (this.meetsRemote(pieces)) return this.readRemote(pieces, out);
    let at = 0;
    for (const { frame, offset, length } of pieces) {
      this.frames.bytes.read(frame * PAGE + offset, out.subarray(at, at + length));
      at += length;
    }
    return out;
  }

  write(pieces: readonly DmaPiece[], data: Uint8Array): Op<void> | undefined {
    const length = this.length(pieces);
    if (length !== data.length) throw new Error(`a DMA of ${length} bytes carries ${data.length}`);
    if (this.meetsRemote(pieces)) return this.writeRemote(pieces, data);
    let at = 0;
    for (const piece of pieces) {
      this.frames.bytes.write(piece.frame * PAGE + piece.offset, data.subarray(at, at + piece.length));
      at += piece.length;
    }
    return undefined;
  }

  private length(pieces: readonly DmaPiece[]): number {
    let sum = 0;
    for (const { frame, offset, length } of pieces) {
      if (!this.frames.pinned(frame * PAGE + offset, length))
        throw new Error(`DMA of ${length} bytes at frame ${frame} + ${offset}, which is not pinned`);
      sum += length;
    }
    if (sum > MAX_DMA) throw new Error(`a DMA of ${sum} bytes: at most ${MAX_DMA}`);
    return sum;
  }

  private meetsRemote(pieces: readonly DmaPiece[]): boolean {
    const { foreign } = this.frames.bytes;
    return foreign.hasRemote && pieces.some((p) => [...stretches(p, foreign.placeOf)].some(({ place }) => place));
  }

  /** The bytes in order, of the host and of those who have the others. */
  private *readRemote(pieces: readonly DmaPiece[], out: Uint8Array): Op<Uint8Array> {
    const { bytes } = this.frames;
    let start = 0;
    for (const piece of pieces) {
      for (const { at, length, frame, offset, place } of [...stretches(piece, bytes.foreign.placeOf)]) {
        const into = out.subarray(start + at, start + at + length);
        if (place) into.set(yield* this.remote.read(place.memory, place.offset, length));
        else bytes.read(frame * PAGE + offset, into);
      }
      start += piece.length;
    }
    return out;
  }

  private *writeRemote(pieces: readonly DmaPiece[], data: Uint8Array): Op<void> {
    const { bytes } = this.frames;
    let start = 0;
    for (const piece of pieces) {
      for (const { at, length, frame, offset, place } of [...stretches(piece, bytes.foreign.placeOf)]) {
        const part = data.slice(start + at, start + at + length);
        if (place) yield* this.remote.write(place.memory, place.offset, part);
        else bytes.write(frame * PAGE + offset, part);
      }
      start += piece.length;
    }
  }
}
