/**
 * Exactly-once between two parties that may crash, over a bus that may lose, repeat and reorder.
 *
 * Words: a *session* is what a receiver knows of one sender: the answers it may still be asked for again. A *channel* is
 * what a sender knows of one receiver: the requests it still waits for.
 * Rule: an answer is forgotten only when the sender says (by its floor) that it has it.
 */
import type { ByteReader, ByteWriter } from './bytes.js';

/**
 * A sender has at most this many requests open at one receiver; a receiver keeps at most this many answers, and takes
 * no request that is this far above the sender's floor.
 */
export const WINDOW = 4096;

export type Admission =
  | { readonly kind: 'new' }
  | { readonly kind: 'pending' }
  | { readonly kind: 'forgotten' }
  | { readonly kind: 'answered'; readonly frame: Uint8Array }
  | { readonly kind: 'fenced' }
  | { readonly kind: 'overloaded' };

const NEW: Admission = { kind: 'new' };
const PENDING: Admission = { kind: 'pending' };
const FORGOTTEN: Admission = { kind: 'forgotten' };
const FENCED: Admission = { kind: 'fenced' };
const OVERLOADED: Admission = { kind: 'overloaded' };

/**
 * Values under ids that are given out one after another, of which a short stretch is alive at any time.
 *
 * A ring and not a Map: a Map that gains and loses an entry for each message leaves a chain of dead tables behind, which
 * halves the throughput by garbage collection.
 */
class IdRing<T> {
  private slots: (T | undefined)[] = new Array<T | undefined>(16).fill(undefined);
  /** No id at or above it is present. */
  private top: number;
  size = 0;

  /** No id below `base` is present. */
  constructor(private base: number) {
    this.top = base;
  }

  get(id: number): T | undefined {
    return id < this.base || id >= this.top ? undefined : this.slots[id & (this.slots.length - 1)];
  }

  set(id: number, value: T): void {
    if (id - this.base >= this.slots.length) this.grow(id);
    const at = id & (this.slots.length - 1);
    if (this.slots[at] === undefined) this.size++;
    this.slots[at] = value;
    if (id >= this.top) this.top = id + 1;
  }

  delete(id: number): void {
    if (this.get(id) === undefined) return;
    this.slots[id & (this.slots.length - 1)] = undefined;
    this.size--;
  }

  /** Forgets every id below `base`. */
  raise(base: number): void {
    for (let id = this.base; id < base && id < this.top; id++) this.delete(id);
    this.base = base;
    if (this.top < base) this.top = base;
  }

  *entries(): IterableIterator<[number, T]> {
    for (let id = this.base; id < this.top; id++) {
      const value = this.get(id);
      if (value !== undefined) yield [id, value];
    }
  }

  private grow(id: number): void {
    let length = this.slots.length;
    while (id - this.base >= length) length *= 2;
    const slots = new Array<T | undefined>(length).fill(undefined);
    for (const [known, value] of this.entries()) slots[known & (length - 1)] = value;
    this.slots = slots;
  }
}

export class Session {
  private epoch = 0;
  private floor = 1;
  /** null: being worked on. */
  private readonly answers = new IdRing<Uint8Array | null>(1);

  /** Decides what a request with this id is, and moves the floor. A new one must be answered by `answer`. */
  admit(id: number, floor: number, epoch: number): Admission {
    if (epoch < this.epoch) return FENCED;
    this.epoch = epoch;
    this.forgetBelow(Math.min(floor, id));
    if (id < this.floor) return FORGOTTEN;
    const known = this.answers.get(id);
    if (known === null) return PENDING;
    if (known !== undefined) return { kind: 'answered', frame: known };
    if (id - this.floor >= WINDOW) return OVERLOADED;
    this.answers.set(id, null);
    return NEW;
  }

  private forgetBelow(floor: number): void {
    if (floor <= this.floor) return;
    this.answers.raise(floor);
    this.floor = floor;
  }

  answer(id: number, frame: Uint8Array): void {
    if (id >= this.floor) this.answers.set(id, frame);
  }

  /** The request was not taken after all: it may come again. */
  withdraw(id: number): void {
    this.answers.delete(id);
  }

  /** Was it taken up before? */
  knows(id: number): boolean {
    return id < this.floor || this.answers.get(id) !== undefined;
  }

  get size(): number {
    return this.answers.size;
  }

  encode(w: ByteWriter): void {
    w.u32(this.epoch);
    w.num(this.floor);
    w.list([...this.answers.entries()], ([id, frame]) => {
      w.num(id);
      if (!frame) throw new Error('a snapshot needs every operation to have ended');
      w.bytes(frame);
    });
  }

  static decode(r: ByteReader): Session {
    const s = new Session();
    s.epoch = r.u32();
    s.forgetBelow(r.num());
    for (const [id, frame] of r.list(() => [r.num(), r.bytes().slice()] as const)) s.answers.set(id, frame);
    return s;
  }
}

/** A request that waits for its reply. All but `waiter` belongs to the shell, which sends it again. */
export interface Pending<T> {
  frame: Uint8Array;
  readonly waiter: T;
  sentAt: number;
  tries: number;
}

export class Channel<T> {
  private next = 1;
  private readonly open = new IdRing<Pending<T>>(1);
  private floorId = 1;

  get full(): boolean {
    return this.open.size >= WINDOW;
  }

  get size(): number {
    return this.open.size;
  }

  /** The lowest id that still waits, or the next one to be given. */
  get floor(): number {
    while (this.floorId < this.next && this.open.get(this.floorId) === undefined) this.floorId++;
    return this.floorId;
  }

  /** Reserves the next id; `frame` gets it and the floor. */
  send(waiter: T, frame: (id: number, floor: number) => Uint8Array): Uint8Array {
    // Before the id is given out: an id that is not open yet would look answered.
    const floor = this.floor;
    const id = this.next++;
    this.open.raise(floor);
    const bytes = frame(id, floor);
    this.open.set(id, { frame: bytes, waiter, sentAt: 0, tries: 0 });
    return bytes;
  }

  /** Takes the waiter of an answered request; undefined when the answer is a repetition. */
  settle(id: number): T | undefined {
    const pending = this.open.get(id);
    this.open.delete(id);
    return pending?.waiter;
  }

  /** The open requests, oldest first. */
  *pending(): IterableIterator<Pending<T>> {
    for (const [, pending] of this.open.entries()) yield pending;
  }

  encode(w: ByteWriter): void {
    if (this.open.size > 0) throw new Error('a snapshot needs every request to have been answered');
    w.num(this.next);
  }

  static decode<T>(r: ByteReader): Channel<T> {
    const c = new Channel<T>();
    c.next = r.num();
    c.floorId = c.next;
    c.open.raise(c.next);
    return c;
  }
}
