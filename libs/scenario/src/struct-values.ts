/**
 * From fields in a file to what an ioctl is given, and back to what it wrote.
 *
 * Words: a *pointee* is the struct that a pointer field leads to.
 * Rule: a pointer given as a buffer is scratch memory of the call; the same bytes are looked at again after it.
 */
import {
  type AnyIoctlDef,
  type AnyStruct,
  decodeArray,
  encodeArray,
  type Field,
  iommu_iova_range,
} from '@vfiolab/uapi';
import type { Fact } from './actions/action.js';
import type { Buffer, FieldValue, Num, StructFields } from './scenario.js';
import { evaluate, hexBytes, integers, type IntegerType, type Variables, WIDTHS } from './values.js';
import { bytesInWords, named, written } from './words.js';

/** Pointer fields that lead to structs; all others lead to bytes. */
const POINTEES: ReadonlyMap<string, AnyStruct> = new Map<string, AnyStruct>([['allowed_iovas', iommu_iova_range]]);

export const pointeeOf = (field: string): AnyStruct | undefined => POINTEES.get(field);

/** Bytes of one buffer. */
export const MAX_BUFFER = 512 * 1024;

export type FieldKind = 'number' | 'u64' | 'bytes' | 'numbers' | 'u64s' | 'struct';

const EMPTY = new Uint8Array(0);

/** What a field holds, seen by reading it from nothing: missing bytes read as zero. */
export function kindOf(field: Field<unknown>): FieldKind {
  const zero = field.read(EMPTY, 0);
  if (typeof zero === 'bigint') return 'u64';
  if (typeof zero === 'number') return 'number';
  if (zero instanceof Uint8Array) return 'bytes';
  if (!Array.isArray(zero)) return 'struct';
  return typeof zero[0] === 'bigint' ? 'u64s' : 'numbers';
}

const isList = (raw: FieldValue): raw is readonly (Num | StructFields)[] => Array.isArray(raw);
const isNum = (raw: unknown): raw is Num => typeof raw === 'number' || typeof raw === 'string';

export function bufferBytes(raw: Buffer, pointee: AnyStruct | undefined, variables: Variables): Uint8Array {
  if (raw.hex !== undefined) return hexBytes(raw.hex);
  if (raw.text !== undefined) return new TextEncoder().encode(raw.text);
  if (raw.zero !== undefined) return zeroes(evaluate(raw.zero, variables));
  if (raw.count !== undefined) return zeroes(evaluate(raw.count, variables) * BigInt(pointee?.size ?? 1));
  const [type, values] = Object.entries(raw)[0] as [IntegerType, readonly Num[]];
  return integers(
    values.map((each) => evaluate(each, variables)),
    WIDTHS[type],
  );
}

/** Beyond the bound there is nothing to see that a shorter buffer would not show. */
const zeroes = (length: bigint): Uint8Array =>
  new Uint8Array(Number(length < BigInt(MAX_BUFFER) ? length : BigInt(MAX_BUFFER)));

function structsBytes(pointee: AnyStruct, list: readonly StructFields[], variables: Variables): Uint8Array {
  const values = list.map((fields) =>
    Object.fromEntries(
      Object.entries(fields).map(([name, raw]) => [name, fieldValue(name, pointee.fields[name]!, raw, variables)]),
    ),
  );
  return encodeArray(pointee, values);
}

/** The value of one field as the struct codec takes it; a buffer for a pointer. */
export function fieldValue(name: string, field: Field<unknown>, raw: FieldValue, variables: Variables): unknown {
  const kind = kindOf(field);
  if (isNum(raw)) {
    const value = evaluate(raw, variables);
    return kind === 'number' ? Number(BigInt.asIntN(53, value)) : value;
  }
  const pointee = pointeeOf(name);
  if (!isList(raw)) return bufferBytes(raw, pointee, variables);
  if (kind === 'u64' && pointee) return structsBytes(pointee, raw as readonly StructFields[], variables);
  const numbers = (raw as readonly Num[]).map((each) => evaluate(each, variables));
  return kind === 'numbers' ? numbers.map(Number) : numbers;
}

export type GivenFields = Readonly<Record<string, unknown>>;

export function fieldValues(
  def: AnyIoctlDef,
  raw: Readonly<Record<string, FieldValue>>,
  variables: Variables,
): GivenFields {
  if (def.kind !== 'struct') return {};
  return Object.fromEntries(
    Object.entries(raw).map(([name, value]) => [name, fieldValue(name, def.struct.fields[name]!, value, variables)]),
  );
}

/** What a field holds after a call, as a fact; for a pointer given as a buffer, what the buffer holds. */
export function factOf(name: string, value: unknown, given: unknown): Fact {
  if (given instanceof Uint8Array && typeof value === 'bigint') {
    const pointee = pointeeOf(name);
    return pointee ? structFacts(pointee, given) : given;
  }
  if (typeof value === 'number') return BigInt(value);
  if (Array.isArray(value)) return value.map((each) => BigInt(each as number | bigint));
  if (typeof value === 'object' && value !== null && !(value instanceof Uint8Array)) return recordFacts(value);
  return value as Fact;
}

const recordFacts = (record: object): Fact =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [name, factOf(name, value, undefined)]));

/** Structs up to the last one that is not all zero. */
function structFacts(pointee: AnyStruct, bytes: Uint8Array): Fact {
  const all = decodeArray(pointee, bytes, 0, Math.floor(bytes.length / pointee.size)).map(recordFacts);
  const isZero = (fact: Fact): boolean => Object.values(fact as Record<string, Fact>).every((each) => each === 0n);
  return all.slice(0, all.findLastIndex((each) => !isZero(each)) + 1);
}

export function factInWords(name: string, fact: Fact): string {
  if (typeof fact === 'bigint') return named(name, fact);
  if (fact instanceof Uint8Array) return bytesInWords(fact);
  if (typeof fact !== 'object') return String(fact);
  if (Array.isArray(fact)) return `[${fact.map((each: Fact) => factInWords(name, each)).join(', ')}]`;
  return `{${Object.entries(fact)
    .map(([key, each]) => `${key}=${factInWords(key, each)}`)
    .join(', ')}}`;
}

/** A field as the call passes it. */
export function givenInWords(name: string, raw: FieldValue, given: unknown, prefix: string): string {
  if (isNum(raw)) return written(name, raw, BigInt(given as number | bigint), prefix);
  if (!isList(raw) && raw.count !== undefined) return `[room for ${String(raw.count)}]`;
  return factInWords(name, factOf(name, 0n, given));
}
