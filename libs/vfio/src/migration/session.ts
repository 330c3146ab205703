/**
 * One migration session: the bytes between a device and the data fd.
 *
 * Words: the *stream* is images of the device one behind the other, the last of which counts.
 * Rule: a session that ended answers ENODEV (semantics D9.3). It keeps what is still needed and no more: when saving what
 * was not read, when resuming the last image and what came of the next.
 */
import type { ByteReader, ByteWriter } from '@vfiolab/core';
import { concat, same } from '../byte-arrays.js';

const EMPTY = new Uint8Array(0);

export class Session {
  ended = false;
  private stream: Uint8Array = EMPTY;
  /** Saving: the image that was added last. */
  private newest: Uint8Array = EMPTY;
  /** Saving: bytes of the first image that were not read yet. */
  initialLeft = 0;

  constructor(
    readonly direction: 'save' | 'resume',
    private readonly imageBytes: number,
  ) {}

  /** Bytes that wait to be read. */
  get left(): number {
    return this.stream.length;
  }

  isNewest(image: Uint8Array): boolean {
    return same(this.newest, image);
  }

  /** Adds a state of the device, unless it is the one that was added last. `initial`: its bytes count as initial ones. */
  add(image: Uint8Array, initial: boolean): void {
    if (this.isNewest(image)) return;
    this.newest = image;
    this.stream = concat(this.stream, image);
    if (initial) this.initialLeft = this.stream.length;
  }

  /** Adds bytes of a state that is saved in parts. */
  append(part: Uint8Array): void {
    this.stream = concat(this.stream, part);
  }

  /** The first of the bytes that wait. */
  first(length: number): Uint8Array {
    return this.stream.subarray(0, length);
  }

  read(length: number): Uint8Array {
    const bytes = this.stream.slice(0, length);
    this.stream = this.stream.slice(bytes.length);
    this.initialLeft = Math.max(0, this.initialLeft - bytes.length);
    return bytes;
  }

  write(data: Uint8Array): void {
    this.stream = concat(this.stream, data);
    const spare = Math.floor(this.stream.length / this.imageBytes) - 1;
    if (spare > 0) this.stream = this.stream.slice(spare * this.imageBytes);
  }

  /** What came; undefined: nothing, or not all of an image. */
  get received(): Uint8Array | undefined {
    return this.stream.length === this.imageBytes ? this.stream : undefined;
  }

  encode(w: ByteWriter): void {
    w.bool(this.direction === 'save');
    w.num(this.imageBytes);
    w.bool(this.ended);
    w.bytes(this.stream);
    w.bytes(this.newest);
    w.num(this.initialLeft);
  }

  static decode(r: ByteReader): Session {
    const session = new Session(r.bool() ? 'save' : 'resume', r.num());
    session.ended = r.bool();
    session.stream = r.bytes().slice();
    session.newest = r.bytes().slice();
    session.initialLeft = r.num();
    return session;
  }
}
