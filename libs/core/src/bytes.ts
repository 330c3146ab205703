/**
 * Bytes on the wire and in journals.
 *
 * Words: a *num* is a whole number below 2^53 that travels as two little-endian 32-bit halves; a *u64* is a bigint; a
 * *token* is 16 bytes that are a string of eight 16-bit units in memory, because short strings are the cheapest keys.
 * Rule: what was written is read back field by field in the same order, and reading past the end throws `WireError`:
 * bytes from outside are never trusted to be complete.
 */

/** Malformed bytes from outside. The only exception that a core's entry may catch. */
export class WireError extends Error {}

const TWO32 = 4294967296;
const MAX_BYTES = 16 * 1024 * 1024;
/** Up to this many bytes, copying them one by one is cheaper than the built-in. */
const FEW = 96;

/** Units of a token. */
const TOKEN_UNITS = 8;
/** When less than this is left of a writer's buffer, what is detached next comes from a new one. */
const SLAB_END = 2048;

export class ByteWriter {
  private buf: Uint8Array;
  /** Where the bytes begin that are being written; what lies before was detached. */
  private base = 0;
  private pos = 0;

  constructor(private readonly capacity = 256) {
    this.buf = new Uint8Array(capacity);
  }

  get length(): number {
    return this.pos - this.base;
  }

  reset(): this {
    this.pos = this.base;
    return this;
  }

  /**
   * The bytes written so far, without a copy: they stay as they are, and the writer goes on behind them. Cheaper than
   * `take` for small pieces; a piece keeps its slab alive.
   */
  detach(): Uint8Array {
    const piece = this.buf.subarray(this.base, this.pos);
    this.base = this.pos;
    if (this.buf.length - this.base < SLAB_END) {
      this.buf = new Uint8Array(this.capacity);
      this.base = this.pos = 0;
    }
    return piece;
  }

  /** Makes room for `n` more bytes and returns where they start. */
  private claim(n: number): number {
    if (this.pos + n > this.buf.length) this.grow(this.pos + n);
    const at = this.pos;
    this.pos = at + n;
    return at;
  }

  private grow(need: number): void {
    const written = this.buf.subarray(this.base, this.pos);
    const bigger = new Uint8Array(Math.max(this.capacity, 2 * (need - this.base)));
    bigger.set(written);
    this.buf = bigger;
    this.pos -= this.base;
    this.base = 0;
  }

  u8(v: number): void {
    const at = this.claim(1);
    this.buf[at] = v;
  }

  u16(v: number): void {
    const at = this.claim(2);
    this.buf[at] = v;
    this.buf[at + 1] = v >>> 8;
  }

  u32(v: number): void {
    const at = this.claim(4);
    const b = this.buf;
    b[at] = v;
    b[at + 1] = v >>> 8;
    b[at + 2] = v >>> 16;
    b[at + 3] = v >>> 24;
  }

  num(v: number): void {
    const at = this.claim(8);
    const b = this.buf;
    const high = v < TWO32 ? 0 : Math.floor(v / TWO32);
    b[at] = v;
    b[at + 1] = v >>> 8;
    b[at + 2] = v >>> 16;
    b[at + 3] = v >>> 24;
    b[at + 4] = high;
    b[at + 5] = high >>> 8;
    b[at + 6] = high >>> 16;
    b[at + 7] = high >>> 24;
  }

  u64(v: bigint): void {
    this.u32(Number(v & 0xffffffffn));
    this.u32(Number((v >> 32n) & 0xffffffffn));
  }

  bool(v: boolean): void {
    this.u8(v ? 1 : 0);
  }

  /** Bytes as they are, without a length. */
  raw(v: Uint8Array): void {
    const at = this.claim(v.length);
    if (v.length > FEW) return this.buf.set(v, at);
    const b = this.buf;
    for (let i = 0; i < v.length; i++) b[at + i] = v[i]!;
  }

  bytes(v: Uint8Array): void {
    this.u32(v.length);
    this.raw(v);
  }

  str(v: string): void {
    let ascii = true;
    for (let i = 0; i < v.length; i++) if (v.charCodeAt(i) > 127) ascii = false;
    if (!ascii) return this.bytes(new TextEncoder().encode(v));
    this.u32(v.length);
    const at = this.claim(v.length);
    for (let i = 0; i < v.length; i++) this.buf[at + i] = v.charCodeAt(i);
  }

  list<T>(items: Iterable<T> & ({ length: number } | { size: number }), each: (item: T) => void): void {
    this.u32('length' in items ? items.length : items.size);
    for (const item of items) each(item);
  }

  /** 16 bytes from a token. */
  token(v: string): void {
    if (v.length !== TOKEN_UNITS) throw new Error(`a token of ${v.length} units`);
    for (let i = 0; i < TOKEN_UNITS; i++) this.u16(v.charCodeAt(i));
  }

  /** The bytes written so far, as a copy of their own. */
  take(): Uint8Array {
    return copyBytes(this.buf, this.base, this.pos);
  }

  /** The bytes written so far, valid only until the next write. */
  view(): Uint8Array {
    return this.buf.subarray(this.base, this.pos);
  }
}

/** A copy of bytes [from, end). */
export function copyBytes(b: Uint8Array, from = 0, end = b.length): Uint8Array {
  const length = end - from;
  if (length > FEW) return b.slice(from, end);
  const out = new Uint8Array(length);
  for (let i = 0; i < length; i++) out[i] = b[from + i]!;
  return out;
}

/** The token that 16 bytes are. */
export function tokenOf(b: Uint8Array, at = 0): string {
  const unit = (i: number): number => b[at + 2 * i]! | (b[at + 2 * i + 1]! << 8);
  return String.fromCharCode(unit(0), unit(1), unit(2), unit(3), unit(4), unit(5), unit(6), unit(7));
}

export class ByteReader {
  private at: number;
  private readonly end: number;

  constructor(
    private readonly buf: Uint8Array,
    from = 0,
  ) {
    this.at = from;
    this.end = buf.length;
  }

  get remaining(): number {
    return this.end - this.at;
  }

  private step(n: number): number {
    const at = this.at;
    if (at + n > this.end) throw new WireError(`needs ${n} bytes at ${at}, has ${this.end - at}`);
    this.at = at + n;
    return at;
  }

  u8(): number {
    const at = this.step(1);
    return this.buf[at]!;
  }

  u16(): number {
    const at = this.step(2);
    return this.buf[at]! | (this.buf[at + 1]! << 8);
  }

  u32(): number {
    const at = this.step(4);
    const b = this.buf;
    return (b[at]! | (b[at + 1]! << 8) | (b[at + 2]! << 16) | (b[at + 3]! << 24)) >>> 0;
  }

  num(): number {
    const at = this.step(8);
    const b = this.buf;
    const low = (b[at]! | (b[at + 1]! << 8) | (b[at + 2]! << 16) | (b[at + 3]! << 24)) >>> 0;
    const high = (b[at + 4]! | (b[at + 5]! << 8) | (b[at + 6]! << 16) | (b[at + 7]! << 24)) >>> 0;
    if (high >= 0x200000) throw new WireError('number of 2^53 or more');
    return high * TWO32 + low;
  }

  u64(): bigint {
    const low = this.u32();
    return (BigInt(this.u32()) << 32n) | BigInt(low);
  }

  bool(): boolean {
    const v = this.u8();
    if (v > 1) throw new WireError(`boolean of ${v}`);
    return v === 1;
  }

  raw(n: number): Uint8Array {
    const at = this.step(n);
    return this.buf.subarray(at, at + n);
  }

  token(): string {
    const at = this.step(2 * TOKEN_UNITS);
    return tokenOf(this.buf, at);
  }

  bytes(): Uint8Array {
    const n = this.u32();
    if (n > MAX_BYTES) throw new WireError(`${n} bytes in one field`);
    return this.raw(n);
  }

  str(): string {
    const b = this.bytes();
    if (b.length > 64) return new TextDecoder().decode(b);
    let s = '';
    for (let i = 0; i < b.length; i++) {
      if (b[i]! > 127) return new TextDecoder().decode(b);
      s += String.fromCharCode(b[i]!);
    }
    return s;
  }

  /** As `str`; answers `expected` itself when that is what is written here. */
  strLike(expected: string): string {
    const from = this.at;
    const n = this.u32();
    let same = n === expected.length && this.at + n <= this.end;
    for (let i = 0; same && i < n; i++) same = this.buf[this.at + i] === expected.charCodeAt(i);
    if (same) {
      this.at += n;
      return expected;
    }
    this.at = from;
    return this.str();
  }

  /** The length of a list; items have at least a byte each. */
  count(): number {
    const n = this.u32();
    if (n > this.remaining) throw new WireError(`list of ${n} items in ${this.remaining} bytes`);
    return n;
  }

  list<T>(each: () => T): T[] {
    const n = this.count();
    const out: T[] = [];
    for (let i = 0; i < n; i++) out.push(each());
    return out;
  }

  done(): void {
    if (this.at !== this.end) throw new WireError(`${this.end - this.at} bytes too many`);
  }
}

export const hex = (b: Uint8Array): string => {
  let s = '';
  for (let i = 0; i < b.length; i++) s += (b[i]! + 256).toString(16).slice(1);
  return s;
};

export const unhex = (s: string): Uint8Array => {
  const out = new Uint8Array(s.length >> 1);
  for (let i = 0; i < out.length; i++) out[i] = Number.parseInt(s.slice(2 * i, 2 * i + 2), 16);
  return out;
};
