/**
 * A device core on a bench: requests go in, and what it asks of other services is answered by a small world at once, or
 * later when a test holds that answer back.
 *
 * Rule: ops run as the machine runs them: one at a time until each waits, locks and signals included.
 */
import {
  type Address,
  type AnyMethod,
  type ArgsOf,
  ByteReader,
  ByteWriter,
  type CallEffect,
  clientAddress,
  GROUPS,
  type Holder,
  isOp,
  type Lock,
  type Op,
  type ReplyOf,
  Signal,
  type View,
} from '@vfiolab/core';
import { DeviceCore } from '../device-core.js';
import { World } from './world.js';

interface Running extends Holder {
  readonly gen: Op<unknown>;
  readonly result: Pending<unknown>;
}

export interface Pending<T> {
  done: boolean;
  value: T | undefined;
}

export const CLIENT = clientAddress('one');

export class Harness {
  readonly world = new World();
  /** Calls of the core, as `iommufd.bind`, in order. */
  readonly calls: string[] = [];
  core = new DeviceCore();
  private entropy = 0;
  private readonly ready: [Running, unknown][] = [];
  private readonly held = new Map<string, [Running, CallEffect][]>();

  /** Answers to this method wait until {@link release}. */
  hold(method: AnyMethod): void {
    this.held.set(method.name, []);
  }

  release(method: AnyMethod): void {
    const waiting = this.held.get(method.name) ?? [];
    this.held.delete(method.name);
    for (const [op, effect] of waiting) this.answer(op, effect);
    this.run();
  }

  /** Starts a request; it may still be waiting when this returns. */
  start<M extends AnyMethod>(method: M, args: ArgsOf<M>, from: Address = GROUPS): Pending<ReplyOf<M>> {
    const entropy = new Uint8Array(32).fill(++this.entropy);
    const answer = this.core.methods.get(method.id)!.handle({ from, now: 0, entropy }, args);
    const result: Pending<unknown> = { done: !isOp(answer), value: isOp(answer) ? undefined : answer };
    if (isOp(answer)) this.begin(answer, result);
    this.run();
    return result as Pending<ReplyOf<M>>;
  }

  /** A request that ends before anything else happens. */
  ask<M extends AnyMethod>(method: M, args: ArgsOf<M>, from: Address = CLIENT): ReplyOf<M> {
    const pending = this.start(method, args, from);
    if (!pending.done) throw new Error(`${method.name} is still waiting; calls so far: ${this.calls.join(' ')}`);
    return pending.value as ReplyOf<M>;
  }

  private begin(gen: Op<unknown>, result: Pending<unknown>): void {
    this.ready.push([{ gen, held: [], result }, undefined]);
  }

  private run(): void {
    for (let next = this.ready.shift(); next; next = this.ready.shift()) {
      this.resume(next[0], next[1]);
      // Raised, and not over because its time has come.
      for (const woken of Signal.takeRaised()) this.ready.push([woken as Running, true]);
    }
  }

  private resume(op: Running, value: unknown): void {
    for (;;) {
      const step = op.gen.next(value);
      if (step.done) return this.finish(op, step.value);
      value = undefined;
      const effect = step.value;
      if (effect.kind === 'call') return this.call(op, effect);
      if (effect.kind === 'wait') return effect.signal.park(op);
      // Time stands still here.
      if (effect.kind === 'time') value = 0;
      else if (effect.kind === 'spawn') this.begin(effect.op, { done: false, value: undefined });
      else if (effect.kind === 'unlock') this.unlock(op, effect.lock);
      else if (!effect.lock.acquire(op, effect.exclusive)) return;
    }
  }

  private call(op: Running, effect: CallEffect): void {
    this.calls.push(effect.method.name);
    const waiting = this.held.get(effect.method.name);
    if (waiting) waiting.push([op, effect]);
    else this.answer(op, effect);
  }

  private answer(op: Running, { method, args }: CallEffect): void {
    const request = new ByteWriter();
    method.args.write(request, args);
    const reply = new ByteWriter();
    method.reply.write(reply, this.world.answer(method, method.args.read(new ByteReader(request.take()))));
    this.ready.push([op, method.reply.read(new ByteReader(reply.take()))]);
  }

  private finish(op: Running, value: unknown): void {
    while (op.held.length > 0) this.unlock(op, op.held.at(-1)!);
    op.result.done = true;
    op.result.value = value;
  }

  private unlock(op: Running, lock: Lock): void {
    for (const next of lock.release(op)) this.ready.push([next as Running, undefined]);
  }

  state(view: View): Uint8Array {
    const w = new ByteWriter(16384);
    this.core.encode(w, view);
    return w.take();
  }

  /** Puts a new core in place that knows only the snapshot. */
  restart(): void {
    const snapshot = this.state('snapshot');
    this.core = new DeviceCore();
    this.core.decode(new ByteReader(snapshot));
  }
}
