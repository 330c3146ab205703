/**
 * Struct layouts of the uAPI, declared once, with their TypeScript types inferred from the declaration.
 *
 * Words: a *field* is a place (offset, size) with a reader and a writer; a *struct* is a name, a size and its fields;
 * a *flexible array* is the open-ended array some structs end with: it has no bytes of its own in the struct's size and is
 * read with {@link decodeArray}.
 * The one rule: bytes that are not there read as zero and writes to them are dropped, exactly what the kernel's
 * "copy what both sides know" convention means. Values are truncated to the field's width as a C assignment would be.
 * Everything is little endian. u64, s64 and pointers are bigint, narrower integers are number.
 */

import { shapeReader } from './shape.js';

export interface Field<T> {
  readonly offset: number;
  readonly size: number;
  read(bytes: Uint8Array, at: number): T;
  write(bytes: Uint8Array, at: number, value: T): void;
}

// `any` and not `unknown`: a record of concrete fields must stay assignable to its constraint while T is inferred.

export type Fields = Readonly<Record<string, Field<any>>>;

/** An open-ended array behind the fixed part: its name, where it starts and what its elements are. */
export interface FlexibleArray {
  readonly name: string;
  readonly offset: number;
  readonly element: Struct<Fields>;
}

export interface Struct<F extends Fields> {
  readonly name: string;
  /** Bytes of the fixed part, padding included. */
  readonly size: number;
  readonly fields: F;
  readonly flexible: FlexibleArray | undefined;
  /** `fields` as a list. */
  readonly entries: readonly (readonly [string, Field<unknown>])[];
  /** Reads all fields of a struct that starts at byte `at`. */
  readonly read: (bytes: Uint8Array, at: number) => Record<string, unknown>;
}

export type AnyStruct = Struct<Fields>;

/** The decoded value of a struct: `StructOf<typeof iommu_ioas_map>` is `{ size: number; ...; user_va: bigint }`. */
export type StructOf<S> =
  S extends Struct<infer F> ? { -readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never } : never;

/** Declares a layout. `size` is the C sizeof: it may exceed the last field by padding. */
export function struct<const F extends Fields>(
  name: string,
  size: number,
  fields: F,
  flexible?: FlexibleArray,
): Struct<F> {
  for (const [key, field] of Object.entries(fields)) {
    if (field.offset + field.size > size) throw new RangeError(`struct ${name}: field ${key} ends behind byte ${size}`);
  }
  const read = shapeReader<Uint8Array, Field<unknown>>(
    fields,
    (field, { offset }) => `${field}.read(source, at + ${offset})`,
  );
  return { name, size, fields, flexible, entries: Object.entries(fields), read };
}

export const flexible = (name: string, offset: number, element: AnyStruct): FlexibleArray => ({
  name,
  offset,
  element,
});

/** Reads a struct at byte `at`. Bytes past the end of `bytes` read as zero. */
export function decode<F extends Fields>(layout: Struct<F>, bytes: Uint8Array, at = 0): StructOf<Struct<F>> {
  return layout.read(bytes, at) as StructOf<Struct<F>>;
}

/** A struct's image: named fields set, everything else zero. With `into`, the image is placed there at byte `at`. */
export function encode<F extends Fields>(
  layout: Struct<F>,
  values: Partial<StructOf<Struct<F>>>,
  into: Uint8Array = new Uint8Array(layout.size),
  at = 0,
): Uint8Array {
  into.fill(0, at, at + layout.size);
  return writeFields(layout, into, values, at);
}

/** Sets the named fields of an existing image and leaves every other byte alone. An unknown name is a bug of ours. */
export function writeFields<F extends Fields>(
  layout: Struct<F>,
  bytes: Uint8Array,
  values: Partial<StructOf<Struct<F>>>,
  at = 0,
): Uint8Array {
  for (const name of Object.keys(values)) {
    const field = layout.fields[name];
    const value: unknown = values[name];
    if (field === undefined) throw new RangeError(`struct ${layout.name} has no field ${name}`);
    if (value !== undefined) field.write(bytes, at + field.offset, value);
  }
  return bytes;
}

/** Reads `count` consecutive structs. All of them must lie inside `bytes`: the caller has checked or fetched that much. */
export function decodeArray<F extends Fields>(
  element: Struct<F>,
  bytes: Uint8Array,
  at: number,
  count: number,
): StructOf<Struct<F>>[] {
  const end = at + count * element.size;
  if (end > bytes.length)
    throw new RangeError(`${count} ${element.name} end at byte ${end}, there are ${bytes.length}`);
  return Array.from({ length: count }, (_, i) => decode(element, bytes, at + i * element.size));
}

export function encodeArray<F extends Fields>(
  element: Struct<F>,
  values: readonly Partial<StructOf<Struct<F>>>[],
): Uint8Array {
  const bytes = new Uint8Array(values.length * element.size);
  values.forEach((value, i) => encode(element, value, bytes, i * element.size));
  return bytes;
}

// Readers. An index past the end gives undefined, and `undefined | 0` is 0: that is the missing-tail rule.

const readU8 = (b: Uint8Array, at: number): number => b[at] ?? 0;
const readU16 = (b: Uint8Array, at: number): number => b[at]! | (b[at + 1]! << 8);
const readS32 = (b: Uint8Array, at: number): number =>
  b[at]! | (b[at + 1]! << 8) | (b[at + 2]! << 16) | (b[at + 3]! << 24);
const readU32 = (b: Uint8Array, at: number): number => readS32(b, at) >>> 0;

// One shared word turns two halves into a bigint without a view per call.
const word = new DataView(new ArrayBuffer(8));

function readU64(b: Uint8Array, at: number): bigint {
  word.setInt32(0, readS32(b, at), true);
  word.setInt32(4, readS32(b, at + 4), true);
  return word.getBigUint64(0, true);
}

function readS64(b: Uint8Array, at: number): bigint {
  return BigInt.asIntN(64, readU64(b, at));
}

const writeU8 = (b: Uint8Array, at: number, v: number): void => void (b[at] = v);
const writeU16 = (b: Uint8Array, at: number, v: number): void => {
  b[at] = v;
  b[at + 1] = v >>> 8;
};
const writeU32 = (b: Uint8Array, at: number, v: number): void => {
  writeU16(b, at, v);
  writeU16(b, at + 2, v >>> 16);
};
const writeU64 = (b: Uint8Array, at: number, v: bigint): void => {
  word.setBigUint64(0, BigInt.asUintN(64, v), true);
  writeU32(b, at, word.getUint32(0, true));
  writeU32(b, at + 4, word.getUint32(4, true));
};

export const u8 = (offset: number): Field<number> => ({ offset, size: 1, read: readU8, write: writeU8 });
export const u16 = (offset: number): Field<number> => ({ offset, size: 2, read: readU16, write: writeU16 });
export const u32 = (offset: number): Field<number> => ({ offset, size: 4, read: readU32, write: writeU32 });
export const s32 = (offset: number): Field<number> => ({ offset, size: 4, read: readS32, write: writeU32 });
export const u64 = (offset: number): Field<bigint> => ({ offset, size: 8, read: readU64, write: writeU64 });
export const s64 = (offset: number): Field<bigint> => ({ offset, size: 8, read: readS64, write: writeU64 });

/** `length` raw bytes. Reads a copy, always `length` long. A shorter value is padded with zeros, a longer one cut. */
export const bytes = (offset: number, length: number): Field<Uint8Array> => ({
  offset,
  size: length,
  read: (b, at) => {
    const out = new Uint8Array(length);
    out.set(b.subarray(at, at + length));
    return out;
  },
  write: (b, at, value) => {
    for (let i = 0; i < length; i++) b[at + i] = value[i] ?? 0;
  },
});

function array<T>(offset: number, count: number, one: Field<T>, zero: T): Field<T[]> {
  return {
    offset,
    size: count * one.size,
    read: (b, at) => Array.from({ length: count }, (_, i) => one.read(b, at + i * one.size)),
    write: (b, at, values) => {
      for (let i = 0; i < count; i++) one.write(b, at + i * one.size, values[i] ?? zero);
    },
  };
}

export const u32s = (offset: number, count: number): Field<number[]> => array(offset, count, u32(0), 0);
export const u64s = (offset: number, count: number): Field<bigint[]> => array(offset, count, u64(0), 0n);

/** A struct inside a struct. Writing replaces the whole inner struct; members not named become zero. */
export const nested = <F extends Fields>(offset: number, inner: Struct<F>): Field<StructOf<Struct<F>>> => ({
  offset,
  size: inner.size,
  read: (b, at) => decode(inner, b, at),
  write: (b, at, value) => void encode(inner, value, b, at),
});

/** Elements of flexible arrays that are plain numbers. */
export const u8_element = struct('u8', 1, { value: u8(0) });
export const s32_element = struct('s32', 4, { value: s32(0) });
