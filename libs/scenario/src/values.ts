/**
 * Numbers, sizes, times and bytes as scenario files write them.
 *
 * Words: a *literal* is `12`, `-1`, `0x1000` or `16GiB`; a *constant* is a number that the kernel's interface names.
 * Rule: 64-bit values stay exact: they are bigint from the file to the struct.
 */
import * as uapi from '@vfiolab/uapi';
import type { Num, Payload } from './scenario.js';

export type Variables = ReadonlyMap<string, bigint>;

const UNITS: Readonly<Record<string, bigint>> = {
  B: 1n,
  KiB: 1n << 10n,
  MiB: 1n << 20n,
  GiB: 1n << 30n,
  TiB: 1n << 40n,
};
const LITERAL = /^(-?)(0x[0-9A-Fa-f]+|[0-9]+)(B|KiB|MiB|GiB|TiB)?$/;
const VARIABLE = /^\$([A-Za-z_][A-Za-z0-9_]*)(?:([+-])(.+))?$/;

/** What a file names with a constant: its number. */
export const constants: ReadonlyMap<string, bigint> = new Map(
  Object.entries(uapi).flatMap(([name, value]) =>
    typeof value === 'number' && /^[A-Z][A-Z0-9_]*$/i.test(name) ? [[name, BigInt(value)] as const] : [],
  ),
);

export interface Reference {
  readonly name: string;
  readonly offset: bigint;
}

export function parseLiteral(text: string): bigint | undefined {
  const match = LITERAL.exec(text);
  if (!match) return undefined;
  const size = BigInt(match[2]!) * (match[3] === undefined ? 1n : UNITS[match[3]]!);
  return match[1] === '-' ? -size : size;
}

/** `$name`, `$name+0x10`; undefined for anything else. */
export function parseReference(text: string): Reference | undefined {
  const match = VARIABLE.exec(text);
  if (!match) return undefined;
  const offset = match[3] === undefined ? 0n : parseLiteral(match[3]);
  return offset === undefined ? undefined : { name: match[1]!, offset: match[2] === '-' ? -offset : offset };
}

/** Names of constants in `A|B`; none when the text is no such list. */
export const constantNames = (text: string): string[] => (/^[A-Z]\w*(\|[A-Z]\w*)*$/.test(text) ? text.split('|') : []);

/** The value of a number. All names in it have been checked when the file was read: an unknown one is a bug of ours. */
export function evaluate(raw: Num, variables: Variables): bigint {
  if (typeof raw === 'number') return BigInt(raw);
  const literal = parseLiteral(raw);
  if (literal !== undefined) return literal;
  const reference = parseReference(raw);
  if (reference) {
    const value = variables.get(reference.name);
    if (value === undefined) throw new Error(`variable $${reference.name} was never set`);
    return value + reference.offset;
  }
  return constantNames(raw).reduce((sum, name) => sum | constants.get(name)!, 0n);
}

/** Milliseconds of `200ms` or `2s`. */
export const milliseconds = (text: string): number =>
  text.endsWith('ms') ? Number(text.slice(0, -2)) : Number(text.slice(0, -1)) * 1000;

export const hexBytes = (text: string): Uint8Array =>
  Uint8Array.from(text.replaceAll(' ', '').match(/../g) ?? [], (digits) => Number.parseInt(digits, 16));

export const toHex = (bytes: Uint8Array): string => Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');

/** Little endian integers of `width` bytes each. */
export function integers(values: readonly bigint[], width: number): Uint8Array {
  const bytes = new Uint8Array(values.length * width);
  values.forEach((value, i) => {
    for (let k = 0; k < width; k++) bytes[i * width + k] = Number((value >> BigInt(8 * k)) & 0xffn);
  });
  return bytes;
}

export const littleEndian = (bytes: Uint8Array): bigint =>
  bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);

/** Bytes of the integer types that files name. */
export const WIDTHS = { u8: 1, u16: 2, u32: 4, s32: 4, u64: 8 } as const;
export type IntegerType = keyof typeof WIDTHS;

/** The integer of a payload or register: its type and number. */
export function typedValue(args: Payload): { type: Exclude<IntegerType, 's32'>; raw: Num } | undefined {
  for (const type of ['u8', 'u16', 'u32', 'u64'] as const) {
    const raw = args[type];
    if (raw !== undefined) return { type, raw };
  }
  return undefined;
}

export function payloadBytes(args: Payload, variables: Variables): Uint8Array {
  if (args.hex !== undefined) return hexBytes(args.hex);
  if (args.text !== undefined) return new TextEncoder().encode(args.text);
  const typed = typedValue(args);
  return typed ? integers([evaluate(typed.raw, variables)], WIDTHS[typed.type]) : new Uint8Array(0);
}
