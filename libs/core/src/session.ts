/**
 * Exactly-once between two parties that may crash, over a bus that may lose, repeat and reorder.
 *
 * Words: a *session* is what a receiver knows of one sender: the answers it may still be asked for again. A *channel* is
 * what a sender knows of one receiver: the requests it still waits for.
 * Rule: an answer is forgotten only when the sender says (by its floor) that it has it.
 */
import type { ByteReader, ByteWriter } from './bytes.js';

/** A sender has at most this many requests open at one receiver; a receiver keeps at most this many answers. */
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

export class Session {
  private epoch = 0;
  private floor = 1;
  /** null: being worked on. */
  private readonly answers = new Map<number, Uint8Array | null>();

  /** Decides what a request with this id is, and moves the floor. A new one must be answered by `answer`. */
  admit(id: number, floor: number, epoch: number): Admission {
    if (epoch < this.epoch) return FENCED;
    this.epoch = epoch;
    this.forgetBelow(Math.min(floor, id));
    if (id < this.floor) return FORGOTTEN;
    const known = this.answers.get(id);
    if (known === null) return PENDING;
    if (known !== undefined) return { kind: 'answered', frame: known };
    if (this.answers.size >= WINDOW) return OVERLOADED;
    this.answers.set(id, null);
    return NEW;
  }

  private forgetBelow(floor: number): void {
    if (floor <= this.floor) return;
    if (floor - this.floor <= WINDOW) for (let id = this.floor; id < floor; id++) this.answers.delete(id);
    else for (const id of this.answers.keys()) if (id < floor) this.answers.delete(id);
    this.floor = floor;
  }

  answer(id: number, frame: Uint8Array): void {
    if (id >= this.floor) this.answers.set(id, frame);
  }

  get size(): number {
    return this.answers.size;
  }

  encode(w: ByteWriter): void {
    w.u32(this.epoch);
    w.num(this.floor);
    const ids = [...this.answers.keys()].sort((a, b) => a - b);
    w.list(ids, (id) => {
      w.num(id);
      const frame = this.answers.get(id);
      if (!frame) throw new Error('a snapshot needs every operation to have ended');
      w.bytes(frame);
    });
  }

  static decode(r: ByteReader): Session {
    const s = new Session();
    s.epoch = r.u32();
    s.floor = r.num();
    for (const [id, frame] of r.list(() => [r.num(), r.bytes().slice()] as const)) s.answers.set(id, frame);
    return s;
  }
}

/** A request that waits for its reply. `sentAt` and `tries` belong to the shell, which sends it again. */
export interface Pending<T> {
  readonly frame: Uint8Array;
  readonly waiter: T;
  sentAt: number;
  tries: number;
}

export class Channel<T> {
  private next = 1;
  private readonly open = new Map<number, Pending<T>>();
  private floorId = 1;

  get full(): boolean {
    return this.open.size >= WINDOW;
  }

  get size(): number {
    return this.open.size;
  }

  /** The lowest id that still waits, or the next one to be given. */
  get floor(): number {
    while (this.floorId < this.next && !this.open.has(this.floorId)) this.floorId++;
    return this.floorId;
  }

  /** Reserves the next id; `frame` gets it and the floor. */
  send(waiter: T, frame: (id: number, floor: number) => Uint8Array): Uint8Array {
    const id = this.next++;
    const bytes = frame(id, this.floor);
    this.open.set(id, { frame: bytes, waiter, sentAt: 0, tries: 0 });
    return bytes;
  }

  /** Takes the waiter of an answered request; undefined when the answer is a repetition. */
  settle(id: number): T | undefined {
    const pending = this.open.get(id);
    this.open.delete(id);
    return pending?.waiter;
  }

  pending(): IterableIterator<Pending<T>> {
    return this.open.values();
  }

  encode(w: ByteWriter): void {
    if (this.open.size > 0) throw new Error('a snapshot needs every request to have been answered');
    w.num(this.next);
  }

  static decode<T>(r: ByteReader): Channel<T> {
    const c = new Channel<T>();
    c.next = r.num();
    c.floorId = c.next;
    return c;
  }
}
