/**
 * What a program of a swarm does: written top to bottom, without promises.
 *
 * Words: an *act* is a generator; it yields a call, or a pause, and is resumed with the answer.
 */
import {
  type Address,
  type AnyMethod,
  type FdArgument,
  type IoctlReply,
  type Method,
  type Segment,
  sysApi,
} from '@vfiolab/core';
import { type AnyStruct, decode, encode, type Errno, errnoName, type IoctlDef, type StructOf } from '@vfiolab/uapi';
import { STRUCT_AT } from '../hunt/arguments.js';

export interface Ask {
  readonly to: Address;
  readonly method: AnyMethod;
  readonly args: unknown;
}
export interface Pause {
  readonly ms: number;
}
export type Act<T> = Generator<Ask | Pause, T, unknown>;

export function* ask<A, R>(to: Address, method: Method<A, R>, args: A): Act<R> {
  return (yield { to, method, args }) as R;
}

export function* pause(ms: number): Act<void> {
  yield { ms };
}

/** An open file. */
export interface File {
  readonly owner: Address;
  readonly token: string;
  readonly kind: string;
}

export interface Answer<S extends AnyStruct> {
  readonly errno: Errno | undefined;
  readonly out: StructOf<S>;
  readonly reply: IoctlReply;
}

/** An ioctl with a struct; `buffer` lies where its pointers lead (`BUFFER_AT`). */
export function* ioctl<S extends AnyStruct>(
  file: File,
  def: IoctlDef<string, S>,
  fields: Partial<StructOf<S>>,
  { fds = [], size = def.struct.size, buffer }: { fds?: FdArgument[]; size?: number; buffer?: Segment } = {},
): Act<Answer<S>> {
  const sizeField = 'argsz' in def.struct.fields ? 'argsz' : 'size';
  const whole = encode(def.struct, { [sizeField]: size, ...fields } as Partial<StructOf<S>>);
  const bytes = whole.slice(0, size);
  const segments: Segment[] = [{ va: STRUCT_AT, writable: true, bytes }, ...(buffer ? [buffer] : [])];
  const reply = yield* ask(file.owner, sysApi.ioctl, { token: file.token, cmd: def.nr, arg: STRUCT_AT, segments, fds });
  for (const { va, bytes: written } of reply.writes)
    if (va >= STRUCT_AT && va < STRUCT_AT + whole.length) whole.set(written, va - STRUCT_AT);
  return { errno: errnoName(reply.errno), out: decode(def.struct, whole) as StructOf<S>, reply };
}

/** An ioctl whose argument is a number, a string or a number in memory. */
export function* plainIoctl(
  file: File,
  { nr, arg, returnsFd }: { readonly nr: number; readonly arg: string; readonly returnsFd: boolean },
  value: number | string = 0,
  fds: FdArgument[] = [],
): Act<IoctlReply> {
  const pointed = arg !== 'none' && arg !== 'value';
  const bytes = typeof value === 'string' ? text(value) : new Uint8Array(Uint32Array.of(value).buffer);
  const segments = pointed ? [{ va: STRUCT_AT, writable: true, bytes }] : [];
  const method = returnsFd ? sysApi.ioctlFile : sysApi.ioctl;
  const args = { token: file.token, cmd: nr, arg: pointed ? STRUCT_AT : Number(value), segments, fds };
  return yield* ask(file.owner, method, args);
}

const text = (value: string): Uint8Array => Uint8Array.from([...value].map((c) => c.charCodeAt(0)).concat(0));
