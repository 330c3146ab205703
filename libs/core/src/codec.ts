/**
 * Declarative codecs of the messages between services, and of replies.
 *
 * Words: a *codec* writes and reads one value; a *method* pairs the codec of its arguments with that of its reply.
 * Rule: a message's layout is the order of its keys in the declaration, so a declaration is never reordered.
 */
import { errnoName, errnoNumber, type Result, shapeReader, shapeWriter } from '@vfiolab/uapi';
import { ByteReader, ByteWriter, WireError } from './bytes.js';

export interface Codec<T> {
  write(w: ByteWriter, v: T): void;
  read(r: ByteReader): T;
}

export type ValueOf<C> = C extends Codec<infer T> ? T : never;

export const u8: Codec<number> = { write: (w, v) => w.u8(v), read: (r) => r.u8() };
export const u16: Codec<number> = { write: (w, v) => w.u16(v), read: (r) => r.u16() };
export const u32: Codec<number> = { write: (w, v) => w.u32(v), read: (r) => r.u32() };
export const i32: Codec<number> = { write: (w, v) => w.u32(v >>> 0), read: (r) => r.u32() | 0 };
/** A whole number below 2^53. */
export const num: Codec<number> = { write: (w, v) => w.num(v), read: (r) => r.num() };
export const u64: Codec<bigint> = { write: (w, v) => w.u64(v), read: (r) => r.u64() };
export const bool: Codec<boolean> = { write: (w, v) => w.bool(v), read: (r) => r.bool() };
export const str: Codec<string> = { write: (w, v) => w.str(v), read: (r) => r.str() };
export const bytes: Codec<Uint8Array> = { write: (w, v) => w.bytes(v), read: (r) => r.bytes() };
/** An fd capability: 16 bytes. */
export const token: Codec<string> = { write: (w, v) => w.token(v), read: (r) => r.token() };
export const nothing: Codec<void> = { write: () => undefined, read: () => undefined };

export const list = <T>(item: Codec<T>): Codec<T[]> => ({
  write: (w, v) => {
    w.u32(v.length);
    for (const x of v) item.write(w, x);
  },
  read: (r) => {
    const n = r.count();
    const out: T[] = [];
    for (let i = 0; i < n; i++) out.push(item.read(r));
    return out;
  },
});

export const optional = <T>(item: Codec<T>): Codec<T | undefined> => ({
  write: (w, v) => {
    w.bool(v !== undefined);
    if (v !== undefined) item.write(w, v);
  },
  read: (r) => (r.bool() ? item.read(r) : undefined),
});

/** One of a fixed list of words. */
export const oneOf = <const W extends readonly string[]>(...words: W): Codec<W[number]> => ({
  write: (w, v) => w.u8(words.indexOf(v)),
  read: (r) => {
    const word = words[r.u8()];
    if (word === undefined) throw new WireError(`none of ${words.join(', ')}`);
    return word;
  },
});

type Shape = Record<string, Codec<never>>;
/** Fields that may be absent may be left out. */
type ValueOfShape<S> = {
  [K in keyof S as undefined extends ValueOf<S[K]> ? never : K]: ValueOf<S[K]>;
} & {
  [K in keyof S as undefined extends ValueOf<S[K]> ? K : never]?: ValueOf<S[K]>;
};

export function message<S extends Record<string, Codec<any>>>(shape: S): Codec<ValueOfShape<S>> {
  const read = shapeReader<ByteReader, Codec<unknown>>(shape, (field) => `${field}.read(source)`);
  return { write: shapeWriter<ByteWriter, Codec<any>>(shape), read: (r) => read(r, 0) as ValueOfShape<S> };
}

/** Either a value or an errno, as every system call answers. */
export const result = <T>(value: Codec<T>): Codec<Result<T>> => ({
  write: (w, v) => {
    w.u16(v.ok ? 0 : errnoNumber(v.errno));
    if (v.ok) value.write(w, v.value);
  },
  read: (r) => {
    const errno = r.u16();
    if (errno === 0) return { ok: true, value: value.read(r) };
    const name = errnoName(errno);
    if (name === undefined) throw new WireError(`errno ${errno}`);
    return { ok: false, errno: name };
  },
});

export interface Method<A, R> {
  readonly id: number;
  readonly name: string;
  readonly args: Codec<A>;
  readonly reply: Codec<R>;
  /** The receiver needs 32 unguessable bytes to answer (it makes a capability). */
  readonly entropy: boolean;
  /** Programs may call it too; the others are between services. */
  readonly clients: boolean;
}

export type AnyMethod = Method<any, any>;
export type ArgsOf<M> = M extends Method<infer A, infer _R> ? A : never;
export type ReplyOf<M> = M extends Method<infer _A, infer R> ? R : never;

export const method = <A, R>(
  id: number,
  args: Codec<A>,
  reply: Codec<R>,
  options: { entropy?: boolean; clients?: boolean } = {},
): Method<A, R> => ({
  id,
  name: '',
  args,
  reply,
  entropy: options.entropy ?? false,
  clients: options.clients ?? false,
});

/** The same methods, open to programs. */
export function forClients<T extends Record<string, AnyMethod>>(methods: T): T {
  return Object.fromEntries(Object.entries(methods).map(([name, m]) => [name, { ...m, clients: true }])) as T;
}

/** Names the methods of a service and checks that their numbers are unique. */
export function api<T extends Record<string, AnyMethod>>(service: string, methods: T): T {
  const seen = new Set<number>();
  const named: Record<string, AnyMethod> = {};
  for (const [name, m] of Object.entries(methods)) {
    if (seen.has(m.id)) throw new Error(`${service}.${name}: method number ${m.id} is taken`);
    seen.add(m.id);
    named[name] = { ...m, name: `${service}.${name}` };
  }
  return named as T;
}

export type { Shape };
