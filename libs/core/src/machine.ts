/**
 * The machine: runs a core one input at a time, in the same way live, in recovery, in replay and in simulation.
 *
 * Words: an *input* is one frame with its sender, the time and (where the method asks for it) entropy; an *output* is a
 * frame for somebody. The *clock* is a Lamport clock: cutting every service of a run at the same clock value gives a
 * consistent cut.
 * Rule: everything here is a function of the inputs since the last snapshot. Outputs are only collected; the actor
 * decides when they leave.
 */
import { type Address, isClient, LAB } from './address.js';
import { type ByteReader, ByteWriter, WireError } from './bytes.js';
import type { Codec, ReplyOf } from './codec.js';

import { isOp, type Core, type MethodRow, type Request, type View } from './core.js';
import {
  decodeHeader,
  encodeEmptyFrame,
  encodeFrame,
  EVENT,
  FLAG_ENTROPY,
  emptyHeader,
  type FrameHeader,
  MAX_FRAME,
  payloadOf,
  REPLY,
  REQUEST,
  STATUS,
  withSeen,
} from './frame.js';
import { call, type CallEffect, type Holder, type Lock, type Op, Signal, type WaitEffect } from './op.js';
import { bootApi, MAX_INSPECT_LINES, type Registration } from './protocol/boot.js';
import { Channel, type Pending, Session } from './session.js';

export interface Input {
  readonly from: Address;
  readonly frame: Uint8Array;
  readonly now: number;
  readonly entropy: Uint8Array;
}
export interface Output {
  readonly to: Address;
  readonly frame: Uint8Array;
}

/** At most this many operations are in flight at one actor; more requests are answered `overloaded` and come again. */
export const MAX_OPS = 16384;
/** At most this many senders are remembered. */
export const MAX_SESSIONS = 65536;

interface Running extends Holder {
  readonly gen: Op<unknown>;
  readonly done: (value: unknown) => void;
  readonly name: string;
  started: number;
}
/** An op that waits no longer than until a time. */
interface Alarm {
  readonly op: Running;
  readonly signal: Signal;
  readonly until: number;
  /** It was told to the actor; it counts when that is journaled. */
  rung: boolean;
}
interface Waiter {
  readonly op: Running;
  readonly reply: Codec<unknown>;
}

/** Another instance has a newer epoch: this one must stop and touch nothing more. */
export class LostAuthority extends Error {
  constructor(address: Address, epoch: number) {
    super(`${address} lost its authority: epoch ${epoch} is no longer the newest`);
  }
}

/** The journal's tail is gone: others remember what we said after its end. */
export class TailLost extends Error {
  constructor(address: Address, witness: Address) {
    super(
      `${address}: ${witness} has heard more from this service than its journal holds: the journal's tail is lost. ` +
        'Restore the journal file from a copy, or remove the lab and make it anew.',
    );
  }
}

/**
 * Sender of an actor's own start. No bus carries this address, and the numbering of its requests is apart from that of
 * the requests which the actor sends to itself.
 */
export const BOOT: Address = '';

/** Clients that are remembered as gone. */
const MAX_GONE = 65536;
/** Far above what a lab reaches, far below 2^53. */
const CLIENT_CLOCK_LIMIT = 2 ** 48;

const NO_ALARMS: readonly number[] = [];
const NO_HEAD = { seq: 0, hash: '' };

export class Machine {
  clock = 0;
  epoch = 0;
  /** Set when the answer to this instance's registration has arrived. */
  registration: Registration | undefined;
  private instance = '';
  out: Output[] = [];
  /** One header each way, filled anew for every frame: frames are handled one at a time, and headers are not kept. */
  private readonly incoming = emptyHeader();
  private readonly outgoing = emptyHeader();
  private readonly sessions = new Map<Address, Session>();
  private readonly channels = new Map<Address, Channel<Waiter>>();
  private readonly ops = new Set<Running>();
  private readonly ready: [Running, unknown][] = [];
  /** By id, in the order in which they were set. */
  private readonly alarms = new Map<number, Alarm>();
  private nextAlarm = 1;
  /** Time of the input that is being worked on. */
  private now = 0;
  /** Clients that are gone for good, oldest first: what still arrives from them is refused. */
  private readonly gone = new Set<Address>();
  /** The highest clock heard from each service: sent back to it, so that it notices a lost journal tail. */
  private readonly heard = new Map<Address, number>();
  /** Heads of other actors' journals, as they told us: sequence and hash. */
  private readonly witnessed = new Map<Address, { seq: number; hash: string }>();

  constructor(
    readonly address: Address,
    readonly core: Core,
  ) {
    core.join({
      emit: (to, method, args) => this.output(to, encodeFrame(this.header(to, EVENT, method.id, 0), method.args, args)),
      forget: (client) => this.forget(client),
      isGone: (client) => this.gone.has(client),
      witnessed: (of) => this.witnessed.get(of) ?? NO_HEAD,
    });
  }

  get idle(): boolean {
    return this.ops.size === 0;
  }

  get inFlight(): number {
    return this.ops.size;
  }

  /** The longest running operations, for people. */
  running(): { name: string; started: number }[] {
    return [...this.ops].map(({ name, started }) => ({ name, started }));
  }

  /** The clock that the machine would have after this frame: where a replay decides to stop. */
  clockAfter({ from, frame }: Input): number {
    try {
      return this.clockAfterHearing(from, decodeHeader(frame).clock);
    } catch (e) {
      if (e instanceof WireError) return this.clock;
      throw e;
    }
  }

  /** Clients cannot push the clock towards the end of its range; services are trusted with it. */
  private clockAfterHearing(from: Address, clock: number): number {
    const heard = isClient(from) ? Math.min(clock, CLIENT_CLOCK_LIMIT) : clock;
    return Math.max(this.clock, heard) + 1;
  }

  /** Takes one input and runs until everything waits again. Malformed input changes nothing but the clock. */
  step(input: Input): void {
    const header = this.incoming;
    try {
      decodeHeader(input.frame, header);
    } catch (e) {
      if (e instanceof WireError) return;
      throw e;
    }
    this.listen(input.from, header);
    this.now = input.now;
    if (header.kind === REQUEST) this.request(input, header);
    else if (header.kind === REPLY) this.reply(input, header);
    else this.event(input, header);
    this.run();
  }

  /** Advances the clock. A service that heard more from us than we remember saying has seen a journal we lost. */
  private listen(from: Address, h: FrameHeader): void {
    if (h.seen > this.clock && !isClient(from)) throw new TailLost(this.address, from);
    this.clock = this.clockAfterHearing(from, h.clock);
    if (!isClient(from)) this.heard.set(from, Math.max(this.heard.get(from) ?? 0, h.clock));
  }

  private request(input: Input, h: FrameHeader): void {
    if (this.gone.has(input.from)) return void this.refuse(input.from, h, STATUS.gone);
    const session = this.session(input.from);
    if (!session) return void this.refuse(input.from, h, STATUS.overloaded);
    const admission = session.admit(h.id, h.floor, h.epoch);
    switch (admission.kind) {
      case 'new':
        return this.begin(input, h, session);
      case 'answered':
        // Who has lost the tail of its journal asks under ids that it has used before: what we heard then tells it so.
        return this.output(input.from, withSeen(admission.frame, this.heard.get(input.from) ?? 0));
      case 'fenced':
        return void this.refuse(input.from, h, STATUS.fenced);
      case 'overloaded':
        return void this.refuse(input.from, h, STATUS.overloaded);
      default:
        return;
    }
  }

  /** Has this request been taken up before? */
  knows(from: Address, id: number): boolean {
    return this.sessions.get(from)?.knows(id) ?? false;
  }

  private session(from: Address): Session | undefined {
    let s = this.sessions.get(from);
    if (!s && this.sessions.size < MAX_SESSIONS) this.sessions.set(from, (s = new Session()));
    return s;
  }

  private begin(input: Input, h: FrameHeader, session: Session): void {
    const status = this.admissible(input, h);
    if (status === STATUS.overloaded) session.withdraw(h.id);
    if (typeof status === 'number') {
      const frame = this.refuse(input.from, h, status);
      return status === STATUS.overloaded ? undefined : session.answer(h.id, frame);
    }
    const { row, args } = status;
    const req: Request = { from: input.from, now: input.now, entropy: input.entropy };
    const { id } = h;
    const { from } = input;
    const answer = row.handle(req, args);
    if (!isOp(answer)) return this.answer(from, session, id, row, answer);
    const done = (value: unknown): void => this.answer(from, session, id, row, value);
    const op: Running = { gen: answer, done, held: [], name: row.method.name, started: input.now };
    this.ops.add(op);
    this.ready.push([op, undefined]);
  }

  private answer(to: Address, session: Session, id: number, { method }: MethodRow, value: unknown): void {
    const frame = encodeFrame(this.header(to, REPLY, STATUS.ok, id), method.reply, value);
    if (frame.length > MAX_FRAME) throw new Error(`${method.name}: a reply of ${frame.length} bytes`);
    session.answer(id, frame);
    this.output(to, frame);
  }

  private admissible(input: Input, h: FrameHeader): number | { row: MethodRow; args: unknown } {
    if (h.deadline !== 0 && input.now > h.deadline) return STATUS.expired;
    if (this.ops.size >= MAX_OPS) return STATUS.overloaded;
    const row = this.core.methods.get(h.method) ?? this.builtin(h.method, input.from);
    if (!row || (row.method.entropy && input.entropy.length < 32)) return STATUS.badRequest;
    if (isClient(input.from) && !row.method.clients) return STATUS.forbidden;
    try {
      const r = payloadOf(input.frame);
      const args: unknown = row.method.args.read(r);
      r.done();
      return { row, args };
    } catch (e) {
      if (e instanceof WireError) return STATUS.badRequest;
      throw e;
    }
  }

  /** Methods that every actor has besides its core's. */
  private builtin(id: number, from: Address): MethodRow | undefined {
    if (id === bootApi.inspect.id) return { method: bootApi.inspect, handle: () => this.inspect() };
    if (id !== bootApi.start.id || from !== BOOT) return undefined;
    return { method: bootApi.start, handle: (_req, args) => this.start((args as { instance: string }).instance) };
  }

  /** First operation of an instance: the lab gives it an epoch, and says how far it saw this actor's journal. */
  private *start(instance: string): Op<void> {
    this.registration = undefined;
    this.instance = instance;
    const grant = yield* call(LAB, bootApi.register, { instance });
    if (this.instance !== instance) return;
    if (grant.epoch === 0) throw new LostAuthority(this.address, 0);
    this.epoch = grant.epoch;
    this.registration = grant;
  }

  private inspect(): ReplyOf<typeof bootApi.inspect> {
    const figures = Object.entries(this.core.figures()).map(([name, value]) => ({ name, value }));
    const broken = this.idle ? this.core.check() : [];
    return { lines: this.core.describe().slice(0, MAX_INSPECT_LINES), broken, figures, busy: this.ops.size };
  }

  /**
   * The answer to a frame that is an inspection, given at once: it is no input, so that nothing is remembered of it. `note` comes
   * first. Undefined: it is something else.
   */
  inspectNow(from: Address, frame: Uint8Array, note: string): Uint8Array | undefined {
    try {
      const { method, id } = decodeHeader(frame);
      if (method !== bootApi.inspect.id) return undefined;
      const { lines, ...rest } = this.inspect();
      const reply = { ...rest, lines: [note, ...lines].slice(0, MAX_INSPECT_LINES) };
      return encodeFrame(this.header(from, REPLY, STATUS.ok, id), bootApi.inspect.reply, reply);
    } catch (e) {
      if (e instanceof WireError) return undefined;
      throw e;
    }
  }

  private forget(client: Address): void {
    this.sessions.delete(client);
    this.gone.add(client);
    if (this.gone.size > MAX_GONE) this.gone.delete(this.gone.values().next().value!);
  }

  private refuse(to: Address, h: FrameHeader, status: number): Uint8Array {
    const header = this.header(to, REPLY, status, h.id);
    // A frame of an old epoch may come late, long after its sender has a new one: the refusal says which it means.
    if (status === STATUS.fenced) header.floor = h.epoch;
    const frame = encodeEmptyFrame(header);
    this.output(to, frame);
    return frame;
  }

  private reply(input: Input, h: FrameHeader): void {
    const channel = this.channels.get(input.from);
    if (h.method === STATUS.overloaded || !channel) return;
    if (h.method === STATUS.fenced) return this.fenced(h.floor);
    const waiter = channel.settle(h.id);
    if (!waiter) return;
    if (h.method !== STATUS.ok)
      throw new Error(`${waiter.op.name}: ${input.from} refused a call with status ${h.method}`);
    this.ready.push([waiter.op, waiter.reply.read(payloadOf(input.frame))]);
  }

  /** Somebody has seen a newer epoch than that of a frame of ours. An older instance's frame may have been meant. */
  private fenced(epoch: number): void {
    if (epoch >= this.epoch) throw new LostAuthority(this.address, this.epoch);
  }

  private event(input: Input, h: FrameHeader): void {
    if (h.method === bootApi.alarm.id && input.from === BOOT)
      return this.ring(bootApi.alarm.args.read(payloadOf(input.frame)).id);
    if (h.method !== bootApi.witness.id) return;
    const head = bootApi.witness.args.read(payloadOf(input.frame));
    const known = this.witnessed.get(input.from) ?? NO_HEAD;
    if (head.seq >= known.seq) this.witnessed.set(input.from, head);
  }

  /** The signal may have come first, and the alarm is gone. */
  private ring(id: number): void {
    const alarm = this.alarms.get(id);
    if (!alarm || !this.alarms.delete(id)) return;
    alarm.signal.unpark(alarm.op);
    this.ready.push([alarm.op, false]);
  }

  /** Ids of alarms whose time has come and that nobody was told of yet. */
  dueAlarms(now: number): readonly number[] {
    if (this.alarms.size === 0) return NO_ALARMS;
    const due = [...this.alarms].filter(([, { until, rung }]) => !rung && until <= now);
    for (const [, alarm] of due) alarm.rung = true;
    return due.map(([id]) => id);
  }

  private park(op: Running, { signal, until }: WaitEffect): void {
    signal.park(op);
    if (until !== undefined) this.alarms.set(this.nextAlarm++, { op, signal, until, rung: false });
  }

  private wake(op: Running): void {
    for (const [id, alarm] of this.alarms) if (alarm.op === op) this.alarms.delete(id);
    this.ready.push([op, true]);
  }

  private run(): void {
    for (;;) {
      if (Signal.anyRaised) for (const woken of Signal.takeRaised()) this.wake(woken as Running);
      const next = this.ready.shift();
      if (!next) return;
      this.resume(next[0], next[1]);
    }
  }

  private resume(op: Running, value: unknown): void {
    for (;;) {
      const step = op.gen.next(value);
      if (step.done) return this.finish(op, step.value);
      const effect = step.value;
      value = undefined;
      if (effect.kind === 'call') return this.send(op, effect);
      if (effect.kind === 'wait') return this.park(op, effect);
      if (effect.kind === 'time') value = this.now;
      else if (effect.kind === 'spawn') this.spawn(op, effect.op);
      else if (effect.kind === 'unlock') this.release(op, effect.lock);
      else if (!effect.lock.acquire(op, effect.exclusive)) return;
    }
  }

  private spawn({ name, started }: Running, gen: Op<void>): void {
    if (this.ops.size >= MAX_OPS) throw new Error(`${name}: more than ${MAX_OPS} operations`);
    const op: Running = { gen, done: () => undefined, held: [], name, started };
    this.ops.add(op);
    this.ready.push([op, undefined]);
  }

  private finish(op: Running, value: unknown): void {
    while (op.held.length > 0) this.release(op, op.held[op.held.length - 1]!);
    this.ops.delete(op);
    op.done(value);
  }

  private release(op: Running, lock: Lock): void {
    for (const next of lock.release(op)) this.ready.push([next as Running, undefined]);
  }

  private send(op: Running, { to, method, args }: CallEffect): void {
    const channel = this.channel(to);
    if (channel.full) throw new Error(`${op.name}: more than a window of calls to ${to}`);
    const frame = channel.send({ op, reply: method.reply }, (id, floor) => {
      const header = this.header(to, REQUEST, method.id, id);
      header.flags = method.entropy ? FLAG_ENTROPY : 0;
      header.floor = floor;
      return encodeFrame(header, method.args, args);
    });
    if (frame.length > MAX_FRAME) throw new Error(`${method.name}: a request of ${frame.length} bytes`);
    this.output(to, frame);
  }

  private channel(to: Address): Channel<Waiter> {
    let c = this.channels.get(to);
    if (!c) this.channels.set(to, (c = new Channel()));
    return c;
  }

  private header(to: Address, kind: number, method: number, id: number): FrameHeader {
    const h = this.outgoing;
    h.kind = kind;
    h.flags = 0;
    h.method = method;
    h.epoch = this.epoch;
    h.id = id;
    h.floor = 0;
    h.clock = this.clock;
    h.seen = this.heard.get(to) ?? 0;
    return h;
  }

  private output(to: Address, frame: Uint8Array): void {
    if (to !== BOOT) this.out.push({ to, frame });
  }

  /** Every request that waits for its reply, for the shell to send again. */
  *unanswered(): IterableIterator<{ to: Address; pending: Pending<unknown> }> {
    for (const [to, channel] of this.channels)
      if (channel.size > 0) for (const pending of channel.pending()) yield { to, pending };
  }

  /** A client is gone for good: nobody will ask for its answers again. */
  encode(w: ByteWriter): void {
    if (!this.idle) throw new Error('a snapshot needs every operation to have ended');
    w.num(this.clock);
    w.u32(this.epoch);
    w.num(this.nextAlarm);
    sortedEntries(this.sessions, w, (s) => s.encode(w));
    sortedEntries(this.channels, w, (c) => c.encode(w));
    w.list(this.gone, (client) => w.str(client));
    sortedEntries(this.heard, w, (clock) => w.num(clock));
    sortedEntries(this.witnessed, w, ({ seq, hash }) => (w.num(seq), w.str(hash)));
    this.core.encode(w, 'snapshot');
  }

  decode(r: ByteReader): void {
    this.clock = r.num();
    this.epoch = r.u32();
    this.nextAlarm = r.num();
    for (const [a, s] of r.list(() => [r.str(), Session.decode(r)] as const)) this.sessions.set(a, s);
    for (const [a, c] of r.list(() => [r.str(), Channel.decode<Waiter>(r)] as const)) this.channels.set(a, c);
    for (const client of r.list(() => r.str())) this.gone.add(client);
    for (const [a, c] of r.list(() => [r.str(), r.num()] as const)) this.heard.set(a, c);
    for (const [a, h] of r.list(() => [r.str(), { seq: r.num(), hash: r.str() }] as const)) this.witnessed.set(a, h);
    this.core.decode(r);
    r.done();
  }

  /** The core's state in one view, as bytes to hash or to compare. */
  stateBytes(view: View): Uint8Array {
    const w = new ByteWriter(4096);
    this.core.encode(w, view);
    return w.take();
  }
}

function sortedEntries<T>(map: Map<string, T>, w: ByteWriter, each: (value: T) => void): void {
  const keys = [...map.keys()].sort();
  w.list(keys, (k) => {
    w.str(k);
    each(map.get(k)!);
  });
}
