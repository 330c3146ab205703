/**
 * Frames: what travels between actors.
 *
 * Words: a *request* asks and gets exactly one *reply*; an *event* gets none and may be lost. The *id* is unique for a
 * sender and receiver and kept across retries; the *floor* is the lowest id the sender still waits for; the *clock* is
 * a Lamport clock; the *epoch* is the authority under which the sender speaks.
 * Rule: the sender's identity is never in the frame: it comes from the subject (or the bus) that carried it.
 *
 * Layout, little endian: u8 kind, u8 flags, u16 method or status, u32 epoch, num id, num floor, num clock,
 * num seen, num deadline (ms, 0 = none), payload.
 */
import type { Codec } from './codec.js';
import { ByteReader, ByteWriter, WireError } from './bytes.js';

export const FRAME_HEADER = 48;
/** NATS carries at most 1 MiB by default; a frame stays below it with room for protocol headers. */
export const MAX_FRAME = 1_000_000;

export const REQUEST = 1;
export const REPLY = 2;
export const EVENT = 3;

export const FLAG_ENTROPY = 1;

/** How a request ended, apart from what the method itself answers. */
export const STATUS = { ok: 0, expired: 1, overloaded: 2, badRequest: 3, fenced: 4, forbidden: 5, gone: 6 } as const;

export interface FrameHeader {
  readonly kind: number;
  readonly flags: number;
  /** Method of a request or event, status of a reply. */
  readonly method: number;
  readonly epoch: number;
  readonly id: number;
  readonly floor: number;
  readonly clock: number;
  /** The highest clock that the sender has heard from the receiver. */
  readonly seen: number;
  readonly deadline: number;
}

const scratch = new ByteWriter(4096);

export function encodeFrame<T>(h: FrameHeader, body: Codec<T>, value: T): Uint8Array {
  const w = scratch.reset();
  writeHeader(w, h);
  body.write(w, value);
  return w.take();
}

export function encodeEmptyFrame(h: FrameHeader): Uint8Array {
  const w = scratch.reset();
  writeHeader(w, h);
  return w.take();
}

function writeHeader(w: ByteWriter, h: FrameHeader): void {
  w.u8(h.kind);
  w.u8(h.flags);
  w.u16(h.method);
  w.u32(h.epoch);
  w.num(h.id);
  w.num(h.floor);
  w.num(h.clock);
  w.num(h.seen);
  w.num(h.deadline);
}

/** The frame under another epoch: what is repeated after a restart is said under the new authority. */
export function withEpoch(frame: Uint8Array, epoch: number): Uint8Array {
  const known = (frame[4]! | (frame[5]! << 8) | (frame[6]! << 16) | (frame[7]! << 24)) >>> 0;
  if (known === epoch) return frame;
  const copy = frame.slice();
  for (let i = 0; i < 4; i++) copy[4 + i] = epoch >>> (8 * i);
  return copy;
}

const SEEN_AT = 32;

/** A stored answer as it is said again: with what has been heard from its receiver by now. */
export function withSeen(frame: Uint8Array, seen: number): Uint8Array {
  const copy = frame.slice();
  const high = Math.floor(seen / 4294967296);
  for (let i = 0; i < 4; i++) {
    copy[SEEN_AT + i] = seen >>> (8 * i);
    copy[SEEN_AT + 4 + i] = high >>> (8 * i);
  }
  return copy;
}

/** Reads the header; throws `WireError` for anything that is not a frame. */
export function decodeHeader(frame: Uint8Array): FrameHeader {
  if (frame.length > MAX_FRAME) throw new WireError(`frame of ${frame.length} bytes, at most ${MAX_FRAME}`);
  const r = new ByteReader(frame);
  const kind = r.u8();
  if (kind < REQUEST || kind > EVENT) throw new WireError(`frame kind ${kind}`);
  const flags = r.u8();
  const method = r.u16();
  const epoch = r.u32();
  const id = r.num();
  const floor = r.num();
  const clock = r.num();
  const seen = r.num();
  const deadline = r.num();
  return { kind, flags, method, epoch, id, floor, clock, seen, deadline };
}

export const payloadOf = (frame: Uint8Array): ByteReader => new ByteReader(frame, FRAME_HEADER);
