/**
 * A network card on a bus to memory: rings of 8 descriptors at fixed places, and what a driver does with them.
 *
 * Words: the rings of queue q are at `RX` and `TX` + q pages; receive buffers of 2 KiB at `BUFFERS`, data to send at `DATA`.
 */
import type { DeviceModel, ModelFacts } from '../model.js';
import * as reg from '../e1000e/registers.js';
import { HostBus } from './host-bus.js';

export const ENTRIES = 8;
export const [RX, TX, BUFFERS, DATA] = [0x1000, 0x3000, 0x10000, 0x20000];
export const BUFFER = 2048;
const PAGE = 4096;
const MEMORY = 2 ** 20;

export const FACTS: ModelFacts = {
  memoryBytes: 0,
  mac: Uint8Array.of(2, 0, 0, 0, 1, 0),
  wiring: { connected: true, ports: 1, vf: undefined },
};

/** Of transmit descriptors: end of packet, CRC, checksum or segments, status reported, extended, VLAN tag. */
export const CMD = { end: 1, crc: 2, sum: 4, segment: 4, report: 8, extended: 0x20, tag: 0x40 } as const;

export class CardRig<M extends DeviceModel> {
  readonly bus = new HostBus(MEMORY);
  readonly card: M;
  private tails = [0, 0];

  constructor(make: (bus: HostBus) => M) {
    this.card = make(this.bus);
  }

  get view(): DataView {
    return new DataView(this.bus.memory.buffer);
  }

  write(offset: number, value: number): void {
    expect(this.card.write(offset, 4, BigInt(value >>> 0)).next().done).toBe(true);
  }

  read(offset: number): number {
    return Number(this.card.read(offset, 4));
  }

  /** Both rings of a queue, all receive descriptors but one given to the card, both directions on. */
  start(queue = 0, rctl = reg.RCTL_BROADCAST | reg.RCTL_STRIP_CRC): this {
    const [rx, tx] = [reg.RECEIVE_RING, reg.TRANSMIT_RING].map((at) => at + queue * reg.QUEUE_STRIDE);
    for (const [ring, base] of [
      [rx!, RX + queue * PAGE],
      [tx!, TX + queue * PAGE],
    ] as const) {
      this.write(ring + reg.BASE_LOW, base);
      this.write(ring + reg.LENGTH, ENTRIES * 16);
    }
    this.post(queue);
    this.write(rx! + reg.TAIL, ENTRIES - 1);
    this.write(reg.RCTL, reg.RCTL_ENABLE | rctl);
    this.write(reg.TCTL, reg.TCTL_ENABLE | reg.TCTL_PAD);
    return this;
  }

  /** Fills receive descriptors of 16 bytes. */
  private post(queue: number): void {
    for (let i = 0; i < ENTRIES; i++)
      this.view.setBigUint64(RX + queue * PAGE + 16 * i, BigInt(BUFFERS + i * BUFFER), true);
  }

  /** Descriptor i of the receive ring, and the bytes of its buffer. */
  received(i: number, queue = 0): { readonly d: DataView; readonly bytes: Buffer } {
    const d = new DataView(this.bus.memory.buffer, RX + queue * PAGE + 16 * i, 16);
    return { d, bytes: Buffer.from(this.bus.memory.subarray(BUFFERS + i * BUFFER, BUFFERS + (i + 1) * BUFFER)) };
  }

  arrives(frame: Uint8Array, port = 0): void {
    expect(this.card.receive!(frame, port).next().done).toBe(true);
  }

  /** One transmit descriptor as its two words: `low` is the address, or the first half of a context. */
  put(low: bigint, high: bigint, queue = 0): void {
    const at = TX + queue * PAGE + 16 * this.tails[queue]!;
    this.view.setBigUint64(at, low, true);
    this.view.setBigUint64(at + 8, high, true);
    this.tails[queue] = (this.tails[queue]! + 1) % ENTRIES;
  }

  /** Data of a packet, or of a part of it. `options`: IP and transport checksums; `more` goes into the word as it is. */
  data(bytes: Uint8Array, command: number, { at = DATA, options = 0, more = 0n, queue = 0 } = {}): void {
    this.bus.memory.set(bytes, at);
    const type = command & CMD.extended ? 1n << 20n : 0n;
    const word = BigInt(bytes.length) | type | (BigInt(command) << 24n) | (BigInt(options) << 40n) | more;
    this.put(BigInt(at), word, queue);
  }

  context(fields: { ip?: number[]; transport?: number[]; command?: number; header?: number; mss?: number }): void {
    const d = new DataView(new ArrayBuffer(16));
    const { ip = [0, 0, 0], transport = [0, 0, 0], command = 0, header = 0, mss = 0 } = fields;
    for (const [k, [start, field, end]] of [ip, transport].entries()) {
      d.setUint8(4 * k, start!);
      d.setUint8(4 * k + 1, field!);
      d.setUint16(4 * k + 2, end!, true);
    }
    d.setUint8(11, command | CMD.extended);
    d.setUint8(13, header);
    d.setUint16(14, mss, true);
    this.put(d.getBigUint64(0, true), d.getBigUint64(8, true));
  }

  /** Tells of the descriptors that were put. */
  ring(queue = 0): void {
    this.write(reg.TRANSMIT_RING + queue * reg.QUEUE_STRIDE + reg.TAIL, this.tails[queue]!);
  }

  /** Frames that were sent since the last time. */
  sent(): Buffer[] {
    return this.bus.sent.splice(0).map(({ frame }) => Buffer.from(frame));
  }

  /** Is a transmit descriptor's status back? */
  isDone(i: number, queue = 0): boolean {
    return (this.bus.memory[TX + queue * PAGE + 16 * i + 12]! & 1) !== 0;
  }
}

export const MAC = Buffer.from(FACTS.mac);
export const OTHER_MAC = Buffer.of(2, 0, 0, 0, 2, 0);
export const BROADCAST = Buffer.alloc(6, 0xff);

/** `length` bytes of Ethernet, the experimental type. */
export function frameOf(to: Uint8Array, length: number, type = 0x88b5): Buffer {
  const frame = Buffer.from(Uint8Array.from({ length }, (_, i) => (i * 7 + length) & 0xff));
  frame.set(to);
  frame.set(OTHER_MAC, 6);
  frame.writeUInt16BE(type, 12);
  return frame;
}

/** TCP or UDP over IPv4 with `payload` bytes; checksums 0. */
export function ipv4(to: Uint8Array, payload: number, protocol: 6 | 17 = 6): Buffer {
  const header = protocol === 6 ? 20 : 8;
  const frame = Buffer.alloc(34 + header + payload);
  frame.set(to);
  frame.set(OTHER_MAC, 6);
  frame.writeUInt16BE(0x0800, 12);
  frame[14] = 0x45;
  frame.writeUInt16BE(20 + header + payload, 16);
  frame.writeUInt16BE(0x1000, 18);
  frame.set([64, protocol], 22);
  frame.set([10, 0, 0, 1, 10, 0, 0, 2], 26);
  frame.set([4, 210, 22, 46], 34);
  if (protocol === 6) {
    frame.writeUInt32BE(1000, 38);
    frame.set([0x50, 0x19], 46);
  } else frame.writeUInt16BE(8 + payload, 38);
  for (let i = 0; i < payload; i++) frame[34 + header + i] = i * 3 + (i >>> 8);
  return frame;
}

/** The same over IPv6, TCP. */
export function ipv6(to: Uint8Array, payload: number): Buffer {
  const inner = ipv4(to, payload).subarray(34);
  const frame = Buffer.alloc(54 + inner.length);
  frame.set(to);
  frame.set(OTHER_MAC, 6);
  frame.writeUInt16BE(0x86dd, 12);
  frame[14] = 0x60;
  frame.writeUInt16BE(inner.length, 18);
  frame.set([6, 64], 20);
  for (let i = 0; i < 32; i++) frame[22 + i] = i * 5;
  frame.set(inner, 54);
  return frame;
}

export function sumOf(bytes: Buffer, start = 0): number {
  let sum = start;
  for (let at = 0; at < bytes.length; at += 2) sum += (bytes[at]! << 8) + (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

/** Sum of the transport with its pseudo header: 0xffff when right. */
export function transportSum(frame: Buffer): number {
  const is4 = frame.readUInt16BE(12) === 0x0800;
  const [addresses, at] = is4 ? [frame.subarray(26, 34), 34] : [frame.subarray(22, 54), 54];
  return sumOf(frame.subarray(at), sumOf(addresses, frame[is4 ? 23 : 20]! + frame.length - at));
}

/** The frame with its checksums right. */
export function summed(frame: Buffer): Buffer {
  const is4 = frame.readUInt16BE(12) === 0x0800;
  if (is4) frame.writeUInt16BE(~sumOf(frame.subarray(14, 34)) & 0xffff, 24);
  const field = (is4 ? 34 : 54) + (frame[is4 ? 23 : 20] === 6 ? 16 : 6);
  frame.writeUInt16BE(~transportSum(frame) & 0xffff, field);
  return frame;
}
