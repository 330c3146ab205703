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
  kind: number;
  flags: number;
  /** Method of a request or event, status of a reply. */
  method: number;
  epoch: number;
  id: number;
  /** Of a request: the lowest id still waited for. Of a `fenced` reply: the epoch that was refused. */
  floor: number;
  clock: number;
  /** The highest clock that the sender has heard from the receiver. */
  seen: number;
  deadline: number;
}

export const emptyHeader = (): FrameHeader => ({
  kind: 0,
  flags: 0,
  method: 0,
  epoch: 0,
  id: 0,
  floor: 0,
  clock: 0,
  seen: 0,
  deadline: 0,
});

/** Frames are pieces of slabs: most are small, and live about as long as their neighbours. */
const scratch = new ByteWriter(65536);

export function encodeFrame<T>(h: FrameHeader, body: Codec<T>, value: T): Uint8Array {
  const w = scratch.reset();
  writeHeader(w, h);
  body.write(w, value);
  return w.detach();
}

export function encodeEmptyFrame(h: FrameHeader): Uint8Array {
  const w = scratch.reset();
  writeHeader(w, h);
  return w.detach();
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

/**
 * Reads the header, into a given object where allocation counts; throws `WireError` for anything that is not a frame, and
 * then nothing was read.
 */
export function decodeHeader(frame: Uint8Array, into: FrameHeader = emptyHeader()): FrameHeader {
  if (frame.length > MAX_FRAME) throw new WireError(`frame of ${frame.length} bytes, at most ${MAX_FRAME}`);
  if (frame.length < FRAME_HEADER) throw new WireError(`frame of ${frame.length} bytes, at least ${FRAME_HEADER}`);
  const kind = frame[0]!;
  if (kind < REQUEST || kind > EVENT) throw new WireError(`frame kind ${kind}`);
  const id = numAt(frame, 8);
  const floor = numAt(frame, 16);
  const clock = numAt(frame, 24);
  const seen = numAt(frame, SEEN_AT);
  into.deadline = numAt(frame, 40);
  into.kind = kind;
  into.flags = frame[1]!;
  into.method = frame[2]! | (frame[3]! << 8);
  into.epoch = u32At(frame, 4);
  into.id = id;
  into.floor = floor;
  into.clock = clock;
  into.seen = seen;
  return into;
}

const u32At = (b: Uint8Array, at: number): number =>
  (b[at]! | (b[at + 1]! << 8) | (b[at + 2]! << 16) | (b[at + 3]! << 24)) >>> 0;

function numAt(b: Uint8Array, at: number): number {
  const high = u32At(b, at + 4);
  if (high >= 0x200000) throw new WireError('number of 2^53 or more');
  return high * 4294967296 + u32At(b, at);
}

export const payloadOf = (frame: Uint8Array): ByteReader => new ByteReader(frame, FRAME_HEADER);
