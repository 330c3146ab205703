/**
 * Receive side scaling: which queue a packet goes to, by a hash of its addresses and ports (Toeplitz).
 *
 * Rule: it is used only where the driver asked for hashes instead of packet checksums and uses extended descriptors.
 */
import { type Packet, TCP } from './packet.js';
import * as reg from './registers.js';

const [ENABLED, MODE] = [1, 3];
const [TCP_V4, V4, TCP_V6, V6_EX, V6] = [1 << 16, 1 << 17, 1 << 18, 1 << 19, 1 << 20];
/** Types of hashes as descriptors have them. */
const [TYPE_NONE, TYPE_TCP_V4, TYPE_V4, TYPE_TCP_V6, TYPE_V6] = [0, 1, 2, 3, 5];

export interface Hashed {
  readonly hash: number;
  readonly type: number;
  readonly queue: number;
}

const NOT_HASHED: Hashed = { hash: 0, type: TYPE_NONE, queue: 0 };

export function hashed(registers: reg.Registers, frame: Uint8Array, packet: Packet | undefined): Hashed {
  const modes = registers.get(reg.MRQC);
  const asked =
    (modes & MODE) === ENABLED &&
    registers.get(reg.RXCSUM) & reg.RXCSUM_NO_PACKET_SUM &&
    registers.get(reg.RFCTL) & reg.RFCTL_EXTENDED;
  if (!asked || !packet) return NOT_HASHED;
  const type = typeOf(modes, packet);
  if (type === TYPE_NONE) return NOT_HASHED;
  const { l3, l4, version } = packet;
  const addresses = version === 4 ? frame.subarray(l3 + 12, l3 + 20) : frame.subarray(l3 + 8, l3 + 40);
  const ports = type === TYPE_TCP_V4 || type === TYPE_TCP_V6 ? frame.subarray(l4!, l4! + 4) : [];
  const hash = toeplitz(registers, [...addresses, ...ports]);
  const entry = registers.get(reg.RETA + (hash & 0x7c)) >>> (8 * (hash & 3));
  return { hash, type, queue: (entry >>> 7) & 1 };
}

function typeOf(modes: number, { version, protocol, l4 }: Packet): number {
  const isTcp = protocol === TCP && l4 !== undefined;
  if (version === 4) return isTcp && modes & TCP_V4 ? TYPE_TCP_V4 : modes & V4 ? TYPE_V4 : TYPE_NONE;
  return isTcp && modes & TCP_V6 ? TYPE_TCP_V6 : modes & (V6 | V6_EX) ? TYPE_V6 : TYPE_NONE;
}

function toeplitz(registers: reg.Registers, input: readonly number[]): number {
  const keyByte = (n: number): number => (registers.get(reg.RSSRK + (n & ~3)) >>> (8 * (n & 3))) & 0xff;
  let window = ((keyByte(0) << 24) | (keyByte(1) << 16) | (keyByte(2) << 8) | keyByte(3)) >>> 0;
  let hash = 0;
  for (const [i, byte] of input.entries()) {
    const next = keyByte(i + 4);
    for (let bit = 7; bit >= 0; bit--) {
      if ((byte >>> bit) & 1) hash ^= window;
      window = ((window << 1) | ((next >>> bit) & 1)) >>> 0;
    }
  }
  return hash >>> 0;
}
