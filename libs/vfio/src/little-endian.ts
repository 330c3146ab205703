/** Little-endian words in byte arrays, as config space has them. Offsets in bytes. */

export const read16 = (b: Uint8Array, at: number): number => b[at]! | (b[at + 1]! << 8);
export const read32 = (b: Uint8Array, at: number): number => (read16(b, at) | (read16(b, at + 2) << 16)) >>> 0;

export function write16(b: Uint8Array, at: number, value: number): void {
  b[at] = value;
  b[at + 1] = value >>> 8;
}

export function write32(b: Uint8Array, at: number, value: number): void {
  write16(b, at, value);
  write16(b, at + 2, value >>> 16);
}

/** An unsigned word of `width` bytes. */
export function readWord(b: Uint8Array, at: number, width: number): bigint {
  let v = 0n;
  for (let i = width - 1; i >= 0; i--) v = (v << 8n) | BigInt(b[at + i]!);
  return v;
}

export function writeWord(b: Uint8Array, at: number, width: number, value: bigint): void {
  for (let i = 0; i < width; i++, value >>= 8n) b[at + i] = Number(value & 0xffn);
}
