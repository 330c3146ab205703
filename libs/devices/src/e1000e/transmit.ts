/**
 * One transmit queue: from descriptors to frames (data sheet, chapter 7.2).
 *
 * Words: *legacy* descriptors have their own checksum request; *extended* ones are data, or a context for the data behind. A
 * *packet* ends with the descriptor that says so.
 * Rule: a descriptor is done when its status is back in memory. DMA that gets through to no descriptor stops the queue until its
 * tail is written again; a packet whose data does not get through, or that is too long, is not sent.
 */
import type { ByteReader, ByteWriter, Op } from '@vfiolab/core';
import { MAX_FRAME, PENDING } from '../model.js';
import { SENT, SEND_QUEUE_EMPTY, TRANSMIT_QUEUE } from './interrupts.js';
import type { Mac } from './mac.js';
import { type Context, contextOf, finish, putSum, segments } from './offload.js';
import * as reg from './registers.js';
import { Ring } from './ring.js';
import { SEGMENTED } from './statistics.js';
import { withTag } from './vlan.js';

const DESCRIPTOR = 16;
const BATCH = 64;
/** Bytes of one packet before it is cut into segments. */
export const MAX_PACKET = 256 * 1024;
const SMALLEST = 60;

const [END, CHECKSUM, REPORT, EXTENDED, TAG] = [1 << 24, 1 << 26, 1 << 27, 1 << 29, 1 << 30];
/** Of extended data: cut the packet into segments. */
const SEGMENT = 1 << 26;
const TYPE_DATA = 1;
const [IP_SUM, TRANSPORT_SUM] = [1, 2];
const DONE = 1;

const NO_CONTEXT = new Uint8Array(DESCRIPTOR);
const NOTHING = new Uint8Array(0);

export class Transmitter {
  private readonly ring: Ring;
  private busy = false;
  /** The context descriptor that holds. */
  private context = NO_CONTEXT;
  /** What is there of a packet that has not ended, and what its first descriptor says: `command`, `options`. */
  private parts: Uint8Array[] = [];
  private bytes = 0;
  private spoilt = false;
  private command = 0;
  private options = 0;

  constructor(
    private readonly mac: Mac,
    private readonly queue: number,
  ) {
    this.ring = new Ring(mac.registers, reg.TRANSMIT_RING + queue * reg.QUEUE_STRIDE);
  }

  /** The tail was written, or transmission enabled. Who is at it sees what is written meanwhile. */
  *run(): Op<void> {
    if (this.busy) return;
    this.busy = true;
    while (yield* this.runBatch());
    this.busy = false;
  }

  /** False: there is nothing more to do. Where a life has ended the ring is looked at anew. */
  private *runBatch(): Op<boolean> {
    const { mac, ring } = this;
    const count = ring.batch(BATCH);
    if (count === 0 || !(mac.registers.get(reg.TCTL) & reg.TCTL_ENABLE)) return false;
    const { life } = mac;
    const bytes = yield* mac.bus.dmaRead(ring.address, count * DESCRIPTOR);
    if (mac.life !== life) return true;
    if (!bytes || bytes === PENDING) return false;
    let reported = false;
    for (let i = 0; i < count; i++) {
      const descriptor = bytes.slice(i * DESCRIPTOR, (i + 1) * DESCRIPTOR);
      const reports = yield* this.take(descriptor);
      if (mac.life !== life) return true;
      if (reports) {
        descriptor[12]! |= DONE;
        yield* mac.bus.dmaWrite(ring.address, descriptor);
        if (mac.life !== life) return true;
        reported = true;
      }
      ring.advance();
    }
    const empty = ring.available === 0 ? SEND_QUEUE_EMPTY : 0;
    yield* mac.causes.raise(empty | (reported ? SENT | (TRANSMIT_QUEUE << this.queue) : 0));
    return true;
  }

  /** Does the descriptor want its status reported? */
  private *take(bytes: Uint8Array): Op<boolean> {
    const d = new DataView(bytes.buffer, bytes.byteOffset);
    const command = d.getUint32(8, true);
    const isExtended = (command & EXTENDED) !== 0;
    if (isExtended && ((command >>> 20) & 0xf) !== TYPE_DATA) {
      this.context = bytes.slice();
      return (command & REPORT) !== 0;
    }
    if (this.bytes === 0 && !this.spoilt) {
      this.command = command;
      this.options = isExtended ? d.getUint8(13) : 0;
    }
    yield* this.fetch(d.getBigUint64(0, true), command & (isExtended ? 0xfffff : 0xffff));
    if (command & END) yield* this.end(d, isExtended);
    return (command & REPORT) !== 0;
  }

  private *fetch(address: bigint, length: number): Op<void> {
    if (length === 0 || this.spoilt) return;
    const fits = this.bytes + length <= MAX_PACKET;
    const data = fits ? yield* this.mac.bus.dmaRead(address, length) : undefined;
    if (!data || data === PENDING) {
      this.drop();
      this.spoilt = true;
      return;
    }
    this.parts.push(data);
    this.bytes += length;
  }

  private drop(): void {
    this.parts = [];
    this.bytes = 0;
    this.spoilt = false;
  }

  private *end(d: DataView, isExtended: boolean): Op<void> {
    const packet = joined(this.parts, this.bytes);
    const { command, options, spoilt } = this;
    this.drop();
    if (spoilt || packet.length === 0) return;
    const last = d.getUint32(8, true);
    const tag = last & TAG && this.mac.vlanMode ? d.getUint16(14, true) : undefined;
    if (!isExtended) {
      const [start, field] = [d.getUint8(13), d.getUint8(10)];
      if (last & CHECKSUM) putSum(packet, { start, field, end: 0 });
      return yield* this.send(packet, tag);
    }
    const context = contextOf(new DataView(this.context.buffer));
    const wanted = { ipSum: (options & IP_SUM) !== 0, transportSum: (options & TRANSPORT_SUM) !== 0 };
    if (!(command & SEGMENT)) return yield* this.send(finish(packet, context, wanted), tag);
    this.mac.statistics.count(SEGMENTED);
    for (const frame of cut(packet, context, wanted)) yield* this.send(frame, tag);
  }

  private *send(frame: Uint8Array, tag: number | undefined): Op<void> {
    const { mac } = this;
    const tagged = tag === undefined ? frame : withTag(frame, mac.vlanType, tag);
    const pads = (mac.registers.get(reg.TCTL) & reg.TCTL_PAD) !== 0 && tagged.length < SMALLEST;
    const whole = pads ? joined([tagged], SMALLEST) : tagged;
    if (whole.length < 14 || whole.length > MAX_FRAME) return;
    mac.statistics.sent(whole);
    yield* mac.send(whole);
  }

  reset(): void {
    this.context = NO_CONTEXT;
    this.command = 0;
    this.options = 0;
    this.drop();
  }

  encode(w: ByteWriter): void {
    w.bytes(this.context);
    w.bytes(joined(this.parts, this.bytes));
    w.bool(this.spoilt);
    w.u32(this.command);
    w.u8(this.options);
  }

  decode(r: ByteReader): void {
    this.context = r.bytes().slice();
    const part = r.bytes().slice();
    this.bytes = part.length;
    this.parts = part.length > 0 ? [part] : [];
    this.spoilt = r.bool();
    this.command = r.u32();
    this.options = r.u8();
  }

  check(): string[] {
    return this.bytes > MAX_PACKET ? [`a packet of ${this.bytes} bytes is being sent`] : [];
  }
}

const cut = (packet: Uint8Array, context: Context, wanted: Parameters<typeof segments>[2]): readonly Uint8Array[] =>
  segments(packet, context, wanted) ?? [];

function joined(parts: readonly Uint8Array[], length: number): Uint8Array {
  if (length === 0) return NOTHING;
  const out = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
