/**
 * What a service's core is to the machine that runs it.
 *
 * Rule: a core is a function of its state and the request: no clock, randomness, I/O or Node built-in; time and entropy
 * come in the request.
 */
import type { Address } from './address.js';
import type { AnyMethod, ArgsOf, Method, ReplyOf } from './codec.js';
import type { ByteReader, ByteWriter } from './bytes.js';
import type { Op } from './op.js';

export interface Request {
  /** Who asks, as the bus says. */
  readonly from: Address;
  /** Milliseconds since the epoch, as the shell read them when the request was journaled. */
  readonly now: number;
  /** 32 unguessable bytes, present when the method declares that it needs them. */
  readonly entropy: Uint8Array;
}

/** What the machine lends to its core. */
export interface Surroundings {
  /** Sends an event: it may be lost, and nothing may depend on it. */
  emit<A>(to: Address, method: Method<A, void>, args: A): void;
  /** A client is gone for good: nobody will ask for its answers again. */
  forget(client: Address): void;
  /** It was forgotten: what it would be given stays with nobody. */
  isGone(client: Address): boolean;
  /** The newest journal head that another actor has told us. */
  witnessed(of: Address): { seq: number; hash: string };
}

/**
 * Which state is written. `snapshot`: all of it, read back by `decode`. `meaning`: what a client could tell apart
 * (objects, maps, pins, charges, owners, registers, memory), without capabilities, times and internal counters.
 */
export type View = 'snapshot' | 'meaning';

export interface Core {
  readonly service: string;
  readonly methods: MethodTable;
  encode(w: ByteWriter, view: View): void;
  decode(r: ByteReader): void;
  /** Broken invariants, in words; empty when all hold. Asked in production too, when no operation is in flight. */
  check(): string[];
  /** The state for people, as lines. */
  describe(): string[];
  /** Counts that tell whether anything is left: pins, charges, owners, objects. All are 0 on a host at rest. */
  figures(): Record<string, number>;
  /** Called once by the machine, before anything else. */
  join(surroundings: Surroundings): void;
}

export type Handler = (req: Request, args: never) => unknown;
export interface MethodRow {
  readonly method: AnyMethod;
  readonly handle: (req: Request, args: unknown) => unknown;
}
export type MethodTable = ReadonlyMap<number, MethodRow>;

type Implementation<T extends Record<string, AnyMethod>> = {
  readonly [K in keyof T]: (req: Request, args: ArgsOf<T[K]>) => ReplyOf<T[K]> | Op<ReplyOf<T[K]>>;
};

/** Rows for every method of an API; a method without a handler does not compile. */
export function implement<T extends Record<string, AnyMethod>>(api: T, handlers: Implementation<T>): MethodRow[] {
  return Object.entries(api).map(([name, method]) => ({
    method,
    handle: handlers[name as keyof T] as (req: Request, args: unknown) => unknown,
  }));
}

export function methodTable(...rows: MethodRow[][]): MethodTable {
  const table = new Map<number, MethodRow>();
  for (const row of rows.flat()) {
    if (table.has(row.method.id)) throw new Error(`${row.method.name}: method number ${row.method.id} is taken`);
    table.set(row.method.id, row);
  }
  return table;
}

export const isOp = (v: unknown): v is Op<unknown> =>
  typeof v === 'object' && v !== null && typeof (v as { next?: unknown }).next === 'function';
