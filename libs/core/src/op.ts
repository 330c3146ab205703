/**
 * Operations: what a core does, written top to bottom.
 *
 * Words: an *op* is a generator; it yields an *effect* when it must wait: for a *call* to another service, for a *lock*,
 * or for a *signal*, with an *alarm* where it must not wait for ever. The machine resumes it with the answer.
 * Rule: an op holds the locks that the kernel would hold while it waits; every lock it still holds is released when it ends.
 */
import type { Address } from './address.js';
import type { AnyMethod, Method } from './codec.js';

export interface CallEffect {
  readonly kind: 'call';
  readonly to: Address;
  readonly method: AnyMethod;
  readonly args: unknown;
}
export interface LockEffect {
  readonly kind: 'lock';
  readonly lock: Lock;
  readonly exclusive: boolean;
}
export interface UnlockEffect {
  readonly kind: 'unlock';
  readonly lock: Lock;
}
export interface WaitEffect {
  readonly kind: 'wait';
  readonly signal: Signal;
  /** When the alarm rings; undefined: there is none. */
  readonly until: number | undefined;
}
export interface TimeEffect {
  readonly kind: 'time';
}
export interface SpawnEffect {
  readonly kind: 'spawn';
  readonly op: Op<void>;
}
export type Effect = CallEffect | LockEffect | UnlockEffect | WaitEffect | TimeEffect | SpawnEffect;

export type Op<T> = Generator<Effect, T, unknown>;

/** Asks another service and waits for its answer, however long it takes: the shell retries under the same id. */
export function* call<A, R>(to: Address, method: Method<A, R>, args: A): Op<R> {
  return (yield { kind: 'call', to, method, args }) as R;
}

/** Identifies the running op to locks; the machine makes one per op. */
export interface Holder {
  readonly held: Lock[];
}

/**
 * Reader-writer lock with a fair queue: whoever asked first goes first, as the kernel's rwsem does without spinning.
 * A holder may take it for reading again while it reads (the same object named twice in one call).
 */
export class Lock {
  /** The effects that an operation yields for this lock, made once. */
  readonly reading: LockEffect = { kind: 'lock', lock: this, exclusive: false };
  readonly writing: LockEffect = { kind: 'lock', lock: this, exclusive: true };
  readonly unlocking: UnlockEffect = { kind: 'unlock', lock: this };
  /** How often it is held, by all holders together; each holder keeps its own list. */
  private held = 0;
  private exclusive = false;
  private readonly queue: { holder: Holder; exclusive: boolean }[] = [];

  get idle(): boolean {
    return this.held === 0;
  }

  /** Takes the lock now, or queues the holder and returns false. Machine only. */
  acquire(holder: Holder, exclusive: boolean): boolean {
    const again = this.held > 0 && holder.held.includes(this);
    if (again && (exclusive || this.exclusive)) throw new Error('an operation waits for a lock that it holds');
    if (again || (this.queue.length === 0 && this.admits(exclusive))) {
      this.grant(holder, exclusive);
      return true;
    }
    this.queue.push({ holder, exclusive });
    return false;
  }

  private admits(exclusive: boolean): boolean {
    return this.held === 0 || (!exclusive && !this.exclusive);
  }

  private grant(holder: Holder, exclusive: boolean): void {
    this.held++;
    this.exclusive = exclusive;
    holder.held.push(this);
  }

  /** Gives the lock up once and returns the holders that have it now instead. Machine only. */
  release(holder: Holder): readonly Holder[] {
    const { held } = holder;
    if (held[held.length - 1] === this) held.pop();
    else {
      const at = held.lastIndexOf(this);
      if (at < 0) throw new Error('a lock was released by an operation that does not hold it');
      held.splice(at, 1);
    }
    this.held--;
    return this.queue.length === 0 ? NOBODY : this.wake();
  }

  private wake(): Holder[] {
    const woken: Holder[] = [];
    while (this.queue.length > 0 && this.admits(this.queue[0]!.exclusive)) {
      const next = this.queue.shift()!;
      this.grant(next.holder, next.exclusive);
      woken.push(next.holder);
    }
    return woken;
  }
}

const NOBODY: readonly Holder[] = [];

export function* lockWrite(lock: Lock): Op<void> {
  yield lock.writing;
}
export function* lockRead(lock: Lock): Op<void> {
  yield lock.reading;
}
export function* unlock(lock: Lock): Op<void> {
  yield lock.unlocking;
}

/** A condition that ops wait for. Whoever makes it true calls `raise`; woken ops look again, as after any wake-up. */
export class Signal {
  private readonly waiting: Holder[] = [];
  private raised: Holder[] = [];

  get waiters(): number {
    return this.waiting.length;
  }

  raise(): void {
    this.raised.push(...this.waiting.splice(0));
    if (this.raised.length > 0) Signal.pending.add(this);
  }

  /** Machine only. */
  park(holder: Holder): void {
    this.waiting.push(holder);
  }

  /** The holder waits no longer. Machine only. */
  unpark(holder: Holder): void {
    const at = this.waiting.indexOf(holder);
    if (at >= 0) this.waiting.splice(at, 1);
  }

  /** Signals raised since the machine last looked. One machine steps at a time, so one set serves all. */
  private static readonly pending = new Set<Signal>();

  static get anyRaised(): boolean {
    return Signal.pending.size > 0;
  }

  static takeRaised(): Holder[] {
    const woken: Holder[] = [];
    for (const s of Signal.pending) woken.push(...s.raised.splice(0));
    Signal.pending.clear();
    return woken;
  }
}

export function* wait(signal: Signal): Op<void> {
  yield { kind: 'wait', signal, until: undefined };
}

/**
 * Waits for the signal until a time, in ms since the epoch. False: the time came first. A service that was dead then wakes the
 * op when it is back.
 */
export function* waitUntil(signal: Signal, until: number): Op<boolean> {
  return (yield { kind: 'wait', signal, until }) as boolean;
}

/** The time of the input that the core is working on, in ms since the epoch: the only clock of a core. */
export function* time(): Op<number> {
  return (yield { kind: 'time' }) as number;
}

/** Nothing happens for so long. */
export function* sleep(ms: number): Op<void> {
  yield* waitUntil(new Signal(), (yield* time()) + ms);
}

/** Begins an operation of its own: it goes on when whoever began it has ended, and nobody waits for it. */
export function* spawn(op: Op<void>): Op<void> {
  yield { kind: 'spawn', op };
}
