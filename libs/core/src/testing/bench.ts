/**
 * A core on a bench: a real machine around it, requests from anybody, and scripted answers of the other services.
 *
 * Rule: everything passes through frames as on the bus. A call of the core to a service without a script is an error; a
 * held answer is given when the test says so.
 */
import {
  ByteReader,
  ByteWriter,
  Channel,
  decodeHeader,
  encodeFrame,
  type AnyMethod,
  type Address,
  type ArgsOf,
  type Core,
  Machine,
  type Method,
  payloadOf,
  REPLY,
  REQUEST,
  STATUS,
  type View,
} from '@vfiolab/core';

/** What a scripted service does with a call: a reply value, or HOLD. */
export const HOLD = Symbol('hold');
export type Script = (args: never, to: Address) => unknown;

export interface Asked<R = unknown> {
  done: boolean;
  value: R | undefined;
}
interface Heard {
  readonly to: Address;
  readonly method: string;
  readonly args: unknown;
}
interface Held {
  readonly to: Address;
  readonly id: number;
  readonly method: AnyMethod;
}

export class Bench<C extends Core> {
  readonly machine: Machine;
  /** Calls of the core to others, oldest first. */
  readonly heard: Heard[] = [];
  readonly held: Held[] = [];
  now = 1000;
  private steps = 0;
  private readonly channels = new Map<Address, Channel<{ method: AnyMethod; asked: Asked }>>();

  constructor(
    address: Address,
    readonly core: C,
    /** By service (the part of an address before `:`): its methods and what each answers. */
    private readonly services: Readonly<
      Record<string, { api: Record<string, AnyMethod>; answers: Record<string, Script> }>
    >,
  ) {
    this.machine = new Machine(address, core);
  }

  /** Sends a request and runs until everything waits. */
  ask<A, R>(from: Address, method: Method<A, R>, args: A): Asked<R> {
    const asked: Asked<R> = { done: false, value: undefined };
    const channel = this.channels.get(from) ?? new Channel<{ method: AnyMethod; asked: Asked }>();
    this.channels.set(from, channel);
    const frame = channel.send({ method, asked }, (id, floor) =>
      encodeFrame({ ...this.header(REQUEST, method.id, id), floor }, method.args, args),
    );
    this.deliver(from, frame);
    return asked;
  }

  /** The answer to a request that does not wait. */
  get<M extends AnyMethod>(from: Address, method: M, args: ArgsOf<M>): M extends Method<infer _A, infer R> ? R : never {
    const asked = this.ask(from, method, args);
    if (!asked.done) throw new Error(`${method.name} still waits`);
    return asked.value as never;
  }

  /** Gives the oldest held answer of this method. */
  answer(name: string, value: unknown): void {
    const at = this.held.findIndex(({ method }) => method.name === name);
    const [held] = at < 0 ? [] : this.held.splice(at, 1);
    if (!held) throw new Error(`${name} is not held`);
    this.reply(held, value);
  }

  /** Gives one held answer: success, or nothing where there is nothing to say. */
  answerOne(at: number): void {
    const [held] = this.held.splice(at, 1);
    if (held) this.reply(held, { ok: true });
  }

  /** Changes what a service answers from now on. */
  script(service: string, answers: Record<string, Script>): void {
    Object.assign(this.services[service]!.answers, answers);
  }

  bytes(view: View): Uint8Array {
    return this.machine.stateBytes(view);
  }

  /** The core's state written, read back by `fresh`, and written again: equal when nothing was lost. */
  reread(fresh: C): { before: Uint8Array; after: Uint8Array } {
    const before = this.bytes('snapshot');
    const reader = new ByteReader(before);
    fresh.decode(reader);
    reader.done();
    const w = new ByteWriter();
    fresh.encode(w, 'snapshot');
    return { before, after: w.take() };
  }

  private header(kind: number, method: number, id: number) {
    return { kind, flags: 0, method, epoch: 0, id, floor: 0, clock: 0, seen: 0, deadline: 0 };
  }

  private deliver(from: Address, frame: Uint8Array): void {
    this.machine.step({ from, frame, now: this.now, entropy: new Uint8Array(32).fill(this.steps++ % 256) });
    for (const { to, frame: out } of this.machine.out.splice(0)) this.take(to, out);
  }

  private take(to: Address, frame: Uint8Array): void {
    const h = decodeHeader(frame);
    if (h.kind === REPLY) return this.settle(to, h.id, h.method, frame);
    const service = this.services[to.split(':', 1)[0]!];
    const method = Object.values(service?.api ?? {}).find(({ id }) => id === h.method);
    const script = method && service!.answers[method.name.split('.')[1]!];
    if (!method || !script) throw new Error(`unexpected call of method ${h.method} of ${to}`);
    const args: unknown = method.args.read(payloadOf(frame));
    this.heard.push({ to, method: method.name, args });
    const value = script(args as never, to);
    const held = { to, id: h.id, method };
    if (value === HOLD) this.held.push(held);
    else this.reply(held, value);
  }

  private reply({ to, id, method }: Held, value: unknown): void {
    this.deliver(to, encodeFrame(this.header(REPLY, STATUS.ok, id), method.reply, value));
  }

  private settle(to: Address, id: number, status: number, frame: Uint8Array): void {
    const waiter = this.channels.get(to)?.settle(id);
    if (!waiter) return;
    if (status !== STATUS.ok) throw new Error(`${waiter.method.name}: refused with status ${status}`);
    waiter.asked.done = true;
    waiter.asked.value = waiter.method.reply.read(payloadOf(frame));
  }
}
