/**
 * Building an ioctl's argument: the struct, what it points at, and the fds it names.
 *
 * Words: *scratch* is memory of the caller that only lives for the call: the struct and the buffers handed in. Everything
 * else is an address in the process's own memory, fetched before the call and written back after it.
 * Rule: what a call may touch is exactly what the ioctl's definition says it points at.
 */
import { type AnyIoctlDef, type AnyStruct, encode, type IoctlDef, type PlainArg, type StructOf } from '@vfiolab/uapi';
import type { Segment } from '@vfiolab/core';

/** The struct's fields; a pointer may be a buffer, which is written back in place. */
export type Arguments<S extends AnyStruct> = {
  [K in keyof StructOf<S>]?: StructOf<S>[K] | (StructOf<S>[K] extends bigint ? Uint8Array : never);
};

/** Scratch buffers lie from here on: behind the last address that a process can map (2^47). */
export const SCRATCH = 2 ** 47;
/** Every scratch buffer starts on a page of its own, far from the next: running over its end is EFAULT. */
const SCRATCH_STRIDE = 0x1000_0000;
const PAGE = 4096;
/** The kernel fetches no more than this from one pointer in one call of ours. */
export const MAX_FETCH = 512 * 1024;

export interface Built {
  readonly arg: number;
  readonly struct: Uint8Array;
  readonly scratch: { readonly va: number; readonly bytes: Uint8Array }[];
}

/** Lays out the struct with its tail behind it. `size` or `argsz` is filled in when it is not given. */
export function build<S extends AnyStruct>(
  def: IoctlDef<string, S>,
  fields: Arguments<S>,
  tail: Uint8Array,
  room: number,
): Built {
  const scratch: Built['scratch'] = [];
  const plain: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) {
    if (!(value instanceof Uint8Array) || !isPointer(def, name)) {
      plain[name] = value;
      continue;
    }
    const va = SCRATCH + (scratch.length + 1) * SCRATCH_STRIDE;
    scratch.push({ va, bytes: value });
    plain[name] = BigInt(va);
  }
  const length = def.struct.size + Math.max(tail.length, room);
  const sizeField = 'argsz' in def.struct.fields ? 'argsz' : 'size';
  if (hasSizeWord(def) && plain[sizeField] === undefined) plain[sizeField] = length;
  const bytes = new Uint8Array(length);
  bytes.set(encode(def.struct, plain as Partial<StructOf<S>>));
  bytes.set(tail, def.struct.size);
  return { arg: SCRATCH, struct: bytes, scratch };
}

const hasSizeWord = ({ forms }: Pick<IoctlDef, 'forms'>): boolean =>
  !Object.values(forms).some((form) => form?.tail === 'fixed');

function isPointer(def: AnyIoctlDef, field: string): boolean {
  return def.kind === 'struct' && def.struct.fields[field]?.size === 8;
}

export const segmentsOf = ({ arg, struct, scratch }: Built): Segment[] => [
  { va: arg, writable: true, bytes: struct },
  ...scratch.map(({ va, bytes }) => ({ va, writable: true, bytes })),
];

/** What a call hands over for an argument that is not a struct: nothing, a number (also what is pointed at), or a text. */
export type PlainInput<A extends PlainArg> = A extends 'none' ? [] : A extends 'string' ? [arg: string] : [arg: number];

export function buildPlain(kind: PlainArg, value: number | string | undefined): { arg: number; segments: Segment[] } {
  if (kind === 'none') return { arg: 0, segments: [] };
  if (kind === 'value') return { arg: Number(value), segments: [] };
  const bytes = kind === 'string' ? textBytes(String(value)) : new Uint8Array(new Uint32Array([Number(value)]).buffer);
  return { arg: SCRATCH, segments: [{ va: SCRATCH, writable: true, bytes }] };
}

/** A text with its NUL, on pages of its own. */
function textBytes(text: string): Uint8Array {
  const encoded = new TextEncoder().encode(text);
  const bytes = new Uint8Array(Math.ceil((encoded.length + 1) / PAGE) * PAGE);
  bytes.set(encoded);
  return bytes;
}
