/**
 * What is in the host's memory.
 *
 * Words: a *physical address* is frame * 4096 + offset, in bytes.
 * Rule: only frames that somebody wrote hold bytes; all others read as zero, whatever the size of the host.
 */
import type { ByteReader, ByteWriter } from '@vfiolab/core';
import { ForeignFrames } from './foreign-frames.js';
import { OrderedMap } from './ordered-map.js';
import { PAGE } from './page.js';

export { PAGE } from './page.js';

export class FrameBytes {
  /** Frames whose bytes are elsewhere. Remote ones read as zero here, and what is written to them is lost. */
  readonly foreign = new ForeignFrames();
  private readonly written = new OrderedMap<Uint8Array>();

  /** Fills `into` from physical address `address` on. */
  read(address: number, into: Uint8Array): void {
    eachFrame(address, into.length, (frame, offset, at, length) => {
      const bytes = this.written.get(frame);
      if (bytes) return into.set(bytes.subarray(offset, offset + length), at);
      const lent = this.foreign.none ? undefined : this.foreign.lentAt(frame);
      if (lent) lent.bytes.read(lent.offset + offset, into.subarray(at, at + length));
      else into.fill(0, at, at + length);
    });
  }

  write(address: number, data: Uint8Array): void {
    eachFrame(address, data.length, (frame, offset, at, length) => {
      if (!this.foreign.none && this.writeForeign(frame, offset, data.subarray(at, at + length))) return;
      let bytes = this.written.get(frame);
      if (!bytes) this.written.set(frame, (bytes = new Uint8Array(PAGE)));
      bytes.set(data.subarray(at, at + length), offset);
    });
  }

  /** False: the frame is the host's own. */
  private writeForeign(frame: number, offset: number, data: Uint8Array): boolean {
    const lent = this.foreign.lentAt(frame);
    lent?.bytes.write(lent.offset + offset, data);
    return lent !== undefined || this.foreign.placeOf(frame) !== undefined;
  }

  /** The bytes of physical addresses [from, to) become zero; whole frames cost nothing afterwards. */
  zero(from: number, to: number): void {
    const first = Math.ceil(from / PAGE);
    const end = Math.floor(to / PAGE);
    if (first > end) return this.zeroInFrame(from, to);
    this.zeroInFrame(from, first * PAGE);
    this.erase(first, end);
    this.zeroInFrame(end * PAGE, to);
  }

  private zeroInFrame(from: number, to: number): void {
    if (from < to) this.written.get(Math.floor(from / PAGE))?.fill(0, from % PAGE, (from % PAGE) + to - from);
  }

  /** Frames [first, end) become zero; foreign ones become the host's, which then are zero. */
  erase(first: number, end: number): void {
    this.foreign.forget(first, end);
    const frames = Array.from(this.written.entries(first, end), ({ key }) => key);
    for (const frame of frames) this.written.delete(frame);
  }

  /** Frames of [first, end) that are not all zero, ascending. */
  *nonZero(first: number, end: number): IterableIterator<{ frame: number; bytes: Uint8Array }> {
    for (const { key, value } of this.written.entries(first, end))
      if (value.some((b) => b !== 0)) yield { frame: key, bytes: value };
  }

  encode(w: ByteWriter): void {
    w.list([...this.nonZero(0, Infinity)], ({ frame, bytes }) => {
      w.num(frame);
      w.raw(bytes);
    });
  }

  decode(r: ByteReader): void {
    for (const [frame, bytes] of r.list(() => [r.num(), r.raw(PAGE).slice()] as const)) this.written.set(frame, bytes);
  }
}

/** Visits the parts of [address, address + length) frame by frame; `at` counts from the start. */
function eachFrame(
  address: number,
  length: number,
  visit: (frame: number, offset: number, at: number, length: number) => void,
): void {
  for (let at = 0; at < length;) {
    const frame = Math.floor((address + at) / PAGE);
    const offset = address + at - frame * PAGE;
    const part = Math.min(PAGE - offset, length - at);
    visit(frame, offset, at, part);
    at += part;
  }
}
