/**
 * Counters of frames and bytes.
 *
 * Rule: reading a counter clears it; one that is full stays so. A counter of 64 bits is cleared by reading its upper half.
 */
import type { ByteReader, ByteWriter } from '@vfiolab/core';

export const MISSED = 0x4010;
const RECEIVED_BY_SIZE = 0x405c;
export const GOOD_RECEIVED = 0x4074;
const BROADCAST_RECEIVED = 0x4078;
const MULTICAST_RECEIVED = 0x407c;
const GOOD_SENT = 0x4080;
const GOOD_BYTES_RECEIVED = 0x4088;
const GOOD_BYTES_SENT = 0x4090;
export const NO_BUFFERS = 0x40a0;
export const UNDERSIZE = 0x40a4;
export const OVERSIZE = 0x40ac;
const BYTES_RECEIVED = 0x40c0;
const BYTES_SENT = 0x40c8;
const TOTAL_RECEIVED = 0x40d0;
const TOTAL_SENT = 0x40d4;
const SENT_BY_SIZE = 0x40d8;
const MULTICAST_SENT = 0x40f0;
const BROADCAST_SENT = 0x40f4;
export const SEGMENTED = 0x40f8;
export const INTERRUPTS = 0x4100;

const WIDE = [GOOD_BYTES_RECEIVED, GOOD_BYTES_SENT, BYTES_RECEIVED, BYTES_SENT];
const FULL = 0xffff_ffff;
/** Counters by size of frame, CRC included. */
const SIZES = [64, 127, 255, 511, 1023];
const CRC = 4;

export const isBroadcast = (frame: Uint8Array): boolean => frame.subarray(0, 6).every((byte) => byte === 0xff);

export class Statistics {
  private counters = new Map<number, number>();

  /** Reads and clears. */
  read(offset: number): number {
    const value = this.counters.get(offset) ?? 0;
    if (WIDE.includes(offset)) return value;
    this.counters.delete(offset);
    if (WIDE.includes(offset - 4)) this.counters.delete(offset - 4);
    return value;
  }

  count(offset: number, by = 1): void {
    this.counters.set(offset, Math.min((this.counters.get(offset) ?? 0) + by, FULL));
  }

  private countBytes(offset: number, by: number): void {
    const low = (this.counters.get(offset) ?? 0) + by;
    this.counters.set(offset, low >>> 0);
    if (low > FULL) this.count(offset + 4);
  }

  /** Any frame that came, wanted or not. */
  came(frame: Uint8Array): void {
    this.count(TOTAL_RECEIVED);
    this.countBytes(BYTES_RECEIVED, frame.length + CRC);
  }

  received(frame: Uint8Array): void {
    this.count(GOOD_RECEIVED);
    this.countBytes(GOOD_BYTES_RECEIVED, frame.length + CRC);
    this.count(RECEIVED_BY_SIZE + sizeClass(frame));
    if (isBroadcast(frame)) this.count(BROADCAST_RECEIVED);
    else if (frame[0]! & 1) this.count(MULTICAST_RECEIVED);
  }

  sent(frame: Uint8Array): void {
    this.count(TOTAL_SENT);
    this.count(GOOD_SENT);
    this.countBytes(BYTES_SENT, frame.length + CRC);
    this.countBytes(GOOD_BYTES_SENT, frame.length + CRC);
    this.count(SENT_BY_SIZE + sizeClass(frame));
    if (isBroadcast(frame)) this.count(BROADCAST_SENT);
    else if (frame[0]! & 1) this.count(MULTICAST_SENT);
  }

  reset(): void {
    this.counters = new Map();
  }

  encode(w: ByteWriter): void {
    w.u32(this.counters.size);
    for (const [offset, value] of [...this.counters].sort(([a], [b]) => a - b)) {
      w.u32(offset);
      w.u32(value);
    }
  }

  decode(r: ByteReader): void {
    this.counters = new Map();
    for (let left = r.u32(); left > 0; left--) this.counters.set(r.u32(), r.u32());
  }
}

/** Where the counter of the frame's size is, behind the first one. */
function sizeClass({ length }: Uint8Array): number {
  const found = SIZES.findIndex((most) => length + CRC <= most);
  return 4 * (found < 0 ? SIZES.length : found);
}
