/**
 * What the transmitter does to a packet for its driver: checksums, and segments of TCP and UDP.
 *
 * Words: a *context* says where headers and checksums are; it holds until the next one.
 * Rule: the driver has put the sum of the pseudo header where the transport's checksum goes; for segments without the length.
 */
import { putWord, sumOf, word } from './packet.js';

/** [start, field, end): the sum of bytes from start on goes into the field; end 0 is the end of the packet. */
export interface Sum {
  readonly start: number;
  readonly field: number;
  readonly end: number;
}

export interface Context {
  readonly ip: Sum;
  readonly transport: Sum;
  readonly isTcp: boolean;
  readonly isIpv4: boolean;
  readonly header: number;
  readonly mss: number;
  /** Bytes behind the header. */
  readonly payload: number;
}

/** A context descriptor. */
export function contextOf(d: DataView): Context {
  const command = d.getUint8(11);
  const sum = (at: number): Sum => ({
    start: d.getUint8(at),
    field: d.getUint8(at + 1),
    // The end is the last byte that counts.
    end: d.getUint16(at + 2, true) === 0 ? 0 : d.getUint16(at + 2, true) + 1,
  });
  return {
    ip: sum(0),
    transport: sum(4),
    isTcp: (command & 1) !== 0,
    isIpv4: (command & 2) !== 0,
    header: d.getUint8(13),
    mss: d.getUint16(14, true),
    payload: d.getUint32(8, true) & 0xfffff,
  };
}

const isInside = ({ length }: Uint8Array, { start, field }: Sum): boolean => field + 2 <= length && start < length;

/** A sum that does not lie inside of the frame is left out. */
export function putSum(frame: Uint8Array, wanted: Sum): void {
  const { start, field, end } = wanted;
  if (!isInside(frame, wanted)) return;
  const sum = ~sumOf(frame, start, end === 0 ? frame.length : Math.min(end, frame.length)) & 0xffff;
  putWord(frame, field, sum === 0 ? 0xffff : sum);
}

/** IPv4's checksum, which is made anew: what the driver left in the field does not count. */
export function putIpSum(frame: Uint8Array, sum: Sum): void {
  if (!isInside(frame, sum)) return;
  putWord(frame, sum.field, 0);
  putSum(frame, sum);
}

export interface Wanted {
  readonly ipSum: boolean;
  readonly transportSum: boolean;
}

export function finish(frame: Uint8Array, context: Context, { ipSum, transportSum }: Wanted): Uint8Array {
  if (transportSum) putSum(frame, context.transport);
  if (ipSum) putIpSum(frame, context.ip);
  return frame;
}

/** The packet in segments of `mss` bytes; undefined: the context is none for it. */
export function segments(packet: Uint8Array, context: Context, wanted: Wanted): Uint8Array[] | undefined {
  const { header, ip, isTcp, mss, transport } = context;
  const least = transport.start + (isTcp ? 20 : 8);
  if (mss === 0 || header > packet.length || ip.start + 20 > header || least > header) return undefined;
  const out: Uint8Array[] = [];
  for (let at = header; at < packet.length || out.length === 0; at += mss) {
    const data = packet.subarray(at, at + mss);
    const frame = new Uint8Array(header + data.length);
    frame.set(packet.subarray(0, header));
    frame.set(data, header);
    adjust(frame, context, { number: out.length, sent: at - header, isLast: at + mss >= packet.length });
    if (wanted.transportSum) addLength(frame, transport);
    out.push(finish(frame, context, wanted));
  }
  return out;
}

const [FIN, PUSH] = [1, 8];

function adjust(
  frame: Uint8Array,
  { ip, isIpv4, isTcp, transport }: Context,
  { number, sent, isLast }: { number: number; sent: number; isLast: boolean },
): void {
  if (isIpv4) {
    putWord(frame, ip.start + 2, frame.length - ip.start);
    putWord(frame, ip.start + 4, word(frame, ip.start + 4) + number);
  } else putWord(frame, ip.start + 4, frame.length - ip.start - 40);
  if (!isTcp) return putWord(frame, transport.start + 4, frame.length - transport.start);
  const view = new DataView(frame.buffer);
  view.setUint32(transport.start + 4, view.getUint32(transport.start + 4) + sent);
  if (!isLast) frame[transport.start + 13]! &= ~(FIN | PUSH);
}

/** The length of a segment is part of its pseudo header. */
function addLength(frame: Uint8Array, { start, field }: Sum): void {
  if (field + 2 <= frame.length) putWord(frame, field, sumOf(frame, field, field + 2, frame.length - start));
}
