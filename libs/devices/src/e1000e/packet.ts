/**
 * What is in a frame, as far as a network card looks: Ethernet, one VLAN tag, IPv4 or IPv6, TCP or UDP.
 *
 * Words: a frame is Ethernet without its CRC; *L3* and *L4* are the offsets of the headers of the network and transport layers.
 * Rule: a header that does not fit into the frame is none.
 */
export const HEADER = 14;
export const VLAN = 0x8100;
const [IPV4, IPV6] = [0x0800, 0x86dd];
export const [TCP, UDP] = [6, 17];

export interface Packet {
  readonly version: 4 | 6;
  readonly l3: number;
  /** Undefined: neither TCP nor UDP, or a fragment. */
  readonly l4: number | undefined;
  readonly protocol: number;
  /** Where the network layer's data end. */
  readonly end: number;
}

export const word = (bytes: Uint8Array, at: number): number => (bytes[at]! << 8) | bytes[at + 1]!;

export function putWord(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

/** Undefined: neither IPv4 nor IPv6. */
export function packetOf(frame: Uint8Array): Packet | undefined {
  if (frame.length < HEADER) return undefined;
  const l3 = word(frame, 12) === VLAN ? HEADER + 4 : HEADER;
  if (frame.length < l3 + 20) return undefined;
  const type = word(frame, l3 - 2);
  if (type === IPV4) return ipv4(frame, l3);
  return type === IPV6 && frame.length >= l3 + 40 ? ipv6(frame, l3) : undefined;
}

function ipv4(frame: Uint8Array, l3: number): Packet | undefined {
  const header = (frame[l3]! & 0xf) * 4;
  const end = l3 + word(frame, l3 + 2);
  if (frame[l3]! >>> 4 !== 4 || header < 20 || end < l3 + header || end > frame.length) return undefined;
  const isFragment = (word(frame, l3 + 6) & 0x3fff) !== 0;
  const protocol = frame[l3 + 9]!;
  return { version: 4, l3, protocol, end, l4: isFragment ? undefined : transport(protocol, l3 + header, end) };
}

function ipv6(frame: Uint8Array, l3: number): Packet | undefined {
  const end = l3 + 40 + word(frame, l3 + 4);
  if (frame[l3]! >>> 4 !== 6 || end > frame.length) return undefined;
  const protocol = frame[l3 + 6]!;
  return { version: 6, l3, protocol, end, l4: transport(protocol, l3 + 40, end) };
}

function transport(protocol: number, at: number, end: number): number | undefined {
  const least = protocol === TCP ? 20 : protocol === UDP ? 8 : Infinity;
  return at + least <= end ? at : undefined;
}

/** Bytes of the transport header. */
export const transportHeader = (frame: Uint8Array, { protocol }: Packet, l4: number): number =>
  protocol === TCP ? (frame[l4 + 12]! >>> 4) * 4 : 8;

/** Sum of 16 bits each in ones' complement, of [from, to). */
export function sumOf(bytes: Uint8Array, from: number, to: number, start = 0): number {
  let sum = start;
  for (let at = from; at < to; at += 2) sum += (bytes[at]! << 8) | (at + 1 < to ? bytes[at + 1]! : 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return sum;
}

/** Is the header's checksum right? IPv6 has none. */
export const l3IsRight = (frame: Uint8Array, { version, l3 }: Packet): boolean =>
  version === 6 || sumOf(frame, l3, l3 + (frame[l3]! & 0xf) * 4) === 0xffff;

/** Undefined: UDP without a checksum, or nothing with one. */
export function l4IsRight(frame: Uint8Array, { version, l3, l4, protocol, end }: Packet): boolean | undefined {
  if (l4 === undefined || (protocol === UDP && word(frame, l4 + 6) === 0)) return undefined;
  const [from, to] = version === 4 ? [l3 + 12, l3 + 20] : [l3 + 8, l3 + 40];
  return sumOf(frame, l4, end, sumOf(frame, from, to, protocol + end - l4)) === 0xffff;
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

/** The frame with its CRC behind it. */
export function withCrc(frame: Uint8Array): Uint8Array {
  const out = new Uint8Array(frame.length + 4);
  out.set(frame);
  const crc = ~frame.reduce((sum, byte) => CRC_TABLE[(sum ^ byte) & 0xff]! ^ (sum >>> 8), 0xffff_ffff);
  new DataView(out.buffer).setUint32(frame.length, crc >>> 0, true);
  return out;
}
