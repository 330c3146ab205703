/**
 * One receive queue: from frames to descriptors (data sheet, chapter 7.1).
 *
 * Words: *legacy*, *extended* and *split* are the three forms of descriptors; a split one has four buffers, the first for headers.
 * Rule: a frame needs all its descriptors at once: where there are too few it is dropped, counted, and the driver told. Frames
 * come one after the other; `waiting` ones that are more than a packet buffer holds are dropped too.
 */
import type { Op } from '@vfiolab/core';
import { PENDING } from '../model.js';
import { FEW_DESCRIPTORS, OVERRUN, RECEIVE_QUEUE, RECEIVED } from './interrupts.js';
import type { Mac } from './mac.js';
import { l3IsRight, l4IsRight, type Packet, packetOf, sumOf, transportHeader, UDP, word } from './packet.js';
import * as reg from './registers.js';
import { Ring } from './ring.js';
import { type Hashed, hashed } from './rss.js';
import { MISSED, NO_BUFFERS } from './statistics.js';

/** Frames that wait while one is being stored. */
export const MAX_WAITING = 64;

export const [DONE, END, NO_SUM, TAGGED, UDP_SUM, L4_SUM, L3_SUM, INEXACT] = [1, 2, 4, 8, 16, 32, 64, 128];
export const [L4_WRONG, L3_WRONG] = [32, 64];
const HEADER_SPLIT = 1 << 15;

/** A frame as it goes to memory, and what is told of it. */
export interface Arrived {
  readonly frame: Uint8Array;
  readonly bytes: Uint8Array;
  readonly status: number;
  readonly errors: number;
  /** Sum of its bytes as the driver asked for, or 0. */
  readonly sum: number;
  readonly tag: number;
  readonly hash: Hashed;
  /** Bytes of headers that a split descriptor has in a buffer of their own. */
  readonly header: number;
  readonly id: number;
}

/** Looks at a frame that passed the filters. `stored`: as it goes to memory, `tag`: what was taken out. */
export function arrived(
  registers: reg.Registers,
  frame: Uint8Array,
  { stored, tag, inexact }: { stored: Uint8Array; tag: number | undefined; inexact: boolean },
): Arrived {
  const packet = packetOf(frame);
  const { status, errors } = checked(registers, frame, packet);
  const hash = hashed(registers, frame, packet);
  const control = registers.get(reg.RXCSUM);
  const start = control & 0xff;
  const sums = !(control & reg.RXCSUM_NO_PACKET_SUM);
  return {
    frame,
    bytes: stored,
    status: status | (tag === undefined ? 0 : TAGGED) | (inexact ? INEXACT : 0),
    errors,
    sum: sums && start < frame.length ? sumOf(frame, start, frame.length) : 0,
    tag: tag ?? 0,
    hash,
    header: packet?.l4 === undefined ? 0 : headerOf(frame, packet, packet.l4, tag !== undefined),
    id: packet?.version === 4 ? word(frame, packet.l3 + 4) : 0,
  };
}

/** A tag that was taken out is not in memory. */
const headerOf = (frame: Uint8Array, packet: Packet, l4: number, untagged: boolean): number =>
  l4 + transportHeader(frame, packet, l4) - (untagged ? 4 : 0);

function checked(registers: reg.Registers, frame: Uint8Array, packet: Packet | undefined) {
  const control = registers.get(reg.RXCSUM);
  if (!packet) return { status: NO_SUM, errors: 0 };
  let [status, errors] = [0, 0];
  if (control & reg.RXCSUM_IP && packet.version === 4) {
    status |= L3_SUM;
    if (!l3IsRight(frame, packet)) errors |= L3_WRONG;
  }
  const right = control & reg.RXCSUM_L4 ? l4IsRight(frame, packet) : undefined;
  if (right !== undefined) {
    status |= packet.protocol === UDP ? UDP_SUM | L4_SUM : L4_SUM;
    if (!right) errors |= L4_WRONG;
  }
  return { status: status === 0 ? NO_SUM : status, errors };
}

export class Receiver {
  private readonly waiting: Arrived[] = [];
  private busy = false;

  constructor(
    private readonly mac: Mac,
    private readonly queue: number,
  ) {}

  *receive(frame: Arrived): Op<void> {
    if (this.waiting.length >= MAX_WAITING) return this.mac.statistics.count(MISSED);
    this.waiting.push(frame);
    if (this.busy) return;
    this.busy = true;
    for (let next = this.waiting.shift(); next; next = this.waiting.shift()) yield* this.store(next);
    this.busy = false;
  }

  /** The frames that wait are gone. */
  reset(): void {
    this.waiting.length = 0;
  }

  private get form(): 'legacy' | 'extended' | 'split' {
    const { registers } = this.mac;
    if (!(registers.get(reg.RFCTL) & reg.RFCTL_EXTENDED)) return 'legacy';
    return registers.get(reg.RCTL) & reg.RCTL_SPLIT ? 'split' : 'extended';
  }

  private *store(frame: Arrived): Op<void> {
    const { mac, form } = this;
    const units = form === 'split' ? 2 : 1;
    const ring = new Ring(mac.registers, reg.RECEIVE_RING + this.queue * reg.QUEUE_STRIDE, units);
    const buffers = bufferSizes(mac.registers, form);
    const pieces = cut(frame, buffers);
    if (pieces.length === 0 || ring.available < pieces.length) return yield* this.miss();
    const { life } = mac;
    for (const [i, piece] of pieces.entries()) {
      const at = ring.address;
      const descriptor = yield* mac.bus.dmaRead(at, 16 * units);
      if (mac.life !== life) return;
      if (!descriptor || descriptor === PENDING) return yield* this.miss();
      for (const [k, part] of piece.entries()) {
        const address = new DataView(descriptor.buffer, descriptor.byteOffset).getBigUint64(8 * k, true);
        if (part.length > 0) yield* mac.bus.dmaWrite(address, part);
        if (mac.life !== life) return;
      }
      const last = i === pieces.length - 1;
      yield* mac.bus.dmaWrite(at, written(form, frame, { piece, last, descriptor, queue: this.queue }));
      if (mac.life !== life) return;
      ring.advance();
    }
    mac.statistics.received(frame.frame);
    const few = ring.available <= ring.entries >>> (1 + ((mac.registers.get(reg.RCTL) >>> 8) & 3));
    yield* mac.causes.raise(RECEIVED | (RECEIVE_QUEUE << this.queue) | (few ? FEW_DESCRIPTORS : 0));
  }

  private *miss(): Op<void> {
    this.mac.statistics.count(MISSED);
    this.mac.statistics.count(NO_BUFFERS);
    yield* this.mac.causes.raise(OVERRUN);
  }
}

const SIZES = [2048, 1024, 512, 256] as const;

/** Bytes of each buffer of a descriptor. */
function bufferSizes(registers: reg.Registers, form: 'legacy' | 'extended' | 'split'): number[] {
  const control = registers.get(reg.RCTL);
  if (form === 'split') {
    const sizes = registers.get(reg.PSRCTL);
    return [(sizes & 0x7f) * 128, ...[8, 16, 24].map((shift) => ((sizes >>> shift) & 0x3f) * 1024)];
  }
  const flexible = (control >>> 27) & 0xf;
  if (flexible !== 0) return [flexible * 1024];
  const code = (control >>> 16) & 3;
  return [SIZES[code]! * (control & reg.RCTL_SIZE_EXTENDED && code !== 0 ? 16 : 1)];
}

/** Which bytes go to which buffer of which descriptor. */
function cut({ bytes, header }: Arrived, buffers: readonly number[]): Uint8Array[][] {
  const out: Uint8Array[][] = [];
  const room = buffers.reduce((sum, size) => sum + size, 0);
  const splits = header > 0 && header <= buffers[0]! && room > buffers[0]!;
  for (let at = 0; room > 0 && (at < bytes.length || out.length === 0);) {
    const piece: Uint8Array[] = [];
    for (const [k, size] of buffers.entries()) {
      const most = splits && k === 0 ? (out.length === 0 ? header : 0) : size;
      piece.push(bytes.subarray(at, at + most));
      at += piece[k]!.length;
    }
    out.push(piece);
  }
  return out;
}

interface Written {
  readonly piece: readonly Uint8Array[];
  readonly last: boolean;
  readonly descriptor: Uint8Array;
  readonly queue: number;
}

/** The descriptor as the controller leaves it. */
function written(form: string, frame: Arrived, { piece, last, descriptor, queue }: Written): Uint8Array {
  const bytes = descriptor.slice();
  const d = new DataView(bytes.buffer);
  const status = DONE | (last ? END | frame.status : 0);
  const errors = last ? frame.errors : 0;
  if (form === 'legacy') {
    d.setUint16(8, piece[0]!.length, true);
    d.setUint16(10, frame.sum, true);
    d.setUint8(12, status);
    d.setUint8(13, errors);
    d.setUint16(14, last ? frame.tag : 0, true);
    return bytes;
  }
  bytes.fill(0);
  d.setUint32(0, frame.hash.type | (queue << 8), true);
  if (frame.hash.type !== 0) d.setUint32(4, frame.hash.hash, true);
  else {
    d.setUint16(4, frame.id, true);
    d.setUint16(6, frame.sum, true);
  }
  d.setUint32(8, (status | (errors << 24)) >>> 0, true);
  d.setUint16(12, piece[0]!.length, true);
  d.setUint16(14, last ? frame.tag : 0, true);
  if (form === 'extended') return bytes;
  const isSplit = frame.header > 0 && piece[0]!.length === frame.header;
  d.setUint16(16, isSplit ? HEADER_SPLIT | frame.header : 0, true);
  for (let k = 1; k < 4; k++) d.setUint16(16 + 2 * k, piece[k]!.length, true);
  return bytes;
}
