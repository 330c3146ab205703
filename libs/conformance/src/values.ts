/**
 * Variables of a program, and the numbers that expressions give.
 *
 * Words: an *expression* is an integer, a text of digits or `0x…`, or `$name`, `$name+0x10`, `$name-0x10`.
 * Rule: a variable that was never set is -1, as a file descriptor that could not be opened would be.
 */
import type { Json } from './trace.js';

const REFERENCE = /^\$([A-Za-z_][\w.]*)(?:([+-])(0x[0-9a-fA-F]+|\d+))?$/;

/** What is not an expression: the trace is wrong. */
export class BadValue extends Error {}

export class Variables {
  private readonly values: Map<string, bigint>;

  constructor(from?: Variables) {
    this.values = new Map(from?.values);
  }

  set(name: string, value: bigint): void {
    this.values.set(name, value);
  }

  get(name: string): bigint {
    return this.values.get(name) ?? -1n;
  }

  /** Any expression. */
  number(value: Json | undefined): bigint {
    if (typeof value === 'number' && Number.isSafeInteger(value)) return BigInt(value);
    if (typeof value === 'string') {
      if (/^-?(0x[0-9a-fA-F]+|\d+)$/.test(value)) return plain(value);
      const match = REFERENCE.exec(value);
      if (match) return this.get(match[1]!) + offset(match[2], match[3]);
    }
    throw new BadValue(`${JSON.stringify(value)} is no number and no $variable`);
  }

  /** An expression as a number that can be an fd, a length or a file offset; large and negative ones are cut to 2^53. */
  small(value: Json | undefined): number {
    return clamped(this.number(value));
  }
}

const plain = (text: string): bigint => (text.startsWith('-') ? -BigInt(text.slice(1)) : BigInt(text));

const offset = (sign: string | undefined, text: string | undefined): bigint =>
  text === undefined ? 0n : sign === '-' ? -BigInt(text) : BigInt(text);

/** An fd or a file offset. */
export const clamped = (value: bigint): number =>
  Number(
    BigInt.asIntN(64, value) > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : BigInt.asIntN(64, value),
  );

/** An address or an ioctl's number as the kernel sees it (unsigned); above 2^53 nothing is ever mapped. */
export const unsigned = (value: bigint): number => {
  const whole = BigInt.asUintN(64, value);
  return whole > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(whole);
};

/** The variable that an expression names, if it is one without an offset. */
export const nameIn = (value: Json | undefined): string | undefined =>
  typeof value === 'string' && value.startsWith('$') ? REFERENCE.exec(value)?.[1] : undefined;

export const hexOf = (bytes: Uint8Array): string => {
  let out = '';
  for (const byte of bytes) out += byte.toString(16).padStart(2, '0');
  return out;
};

export function bytesOf(value: Json | undefined): Uint8Array {
  if (typeof value !== 'string' || value.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(value))
    throw new BadValue(`${JSON.stringify(value)} is no hex text of whole bytes`);
  return Uint8Array.from({ length: value.length / 2 }, (_, i) => parseInt(value.slice(2 * i, 2 * i + 2), 16));
}
