/**
 * A client's link to a host: calls with time-outs, retries and events.
 *
 * Rule: the link has no clock or timer of its own; its ports do, so that the same client runs live and in virtual time.
 */
import {
  type Address,
  type ByteReader,
  Caller,
  decodeHeader,
  EVENT,
  type Method,
  pagesApi,
  payloadOf,
} from '@vfiolab/core';

export interface LinkPorts {
  /** Milliseconds since the epoch. */
  now(): number;
  sleep(ms: number): Promise<void>;
  /** Best effort. */
  send(to: Address, frame: Uint8Array): void;
}

/** The call's deadline passed without an answer: whether it happened is unknown; asking again with the same id is safe. */
export class UnknownOutcome extends Error {
  constructor(method: string, to: Address, ms: number) {
    super(`${method}: no answer from ${to} within ${ms} ms; whether it happened is unknown. Is the service running?`);
  }
}

export class Link {
  readonly caller: Caller;
  /** Why nothing will be answered any more. */
  private over: Error | undefined;
  private readonly readable = new Map<string, (() => void)[]>();
  private readonly listeners = new Set<(method: number, payload: () => ByteReader) => void>();

  constructor(
    readonly ports: LinkPorts,
    private readonly timeoutMs = 30_000,
  ) {
    this.caller = new Caller(ports);
  }

  /** The lab is gone: calls that wait reject soon, and further ones at once. */
  close(why: Error): void {
    this.over = why;
  }

  /** Asks and waits for the answer, at most the link's time-out. */
  async call<A, R>(to: Address, method: Method<A, R>, args: A): Promise<R> {
    if (this.over) throw this.over;
    const deadline = this.ports.now() + this.timeoutMs;
    const answer = this.caller.call(to, method, args, deadline);
    const late = this.late(answer, deadline, () => new UnknownOutcome(method.name, to, this.timeoutMs));
    return Promise.race([answer, late]);
  }

  /** Rejects when the deadline passes before the answer; looks rarely, so it costs a busy client nothing. */
  private async late(answer: Promise<unknown>, deadline: number, error: () => Error): Promise<never> {
    let settled = false;
    const settle = (): void => void (settled = true);
    answer.then(settle, settle);
    while (!settled && !this.over && this.ports.now() < deadline)
      await this.ports.sleep(Math.min(500, deadline - this.ports.now() + 1));
    if (!settled) throw this.over ?? error();
    return new Promise(() => undefined);
  }

  receive(from: Address, frame: Uint8Array): void {
    if (frame[0] !== EVENT) return this.caller.receive(from, frame);
    const h = decodeHeader(frame);
    for (const hear of this.listeners) hear(h.method, () => payloadOf(frame));
    if (h.method !== pagesApi.eventfdReady.id) return;
    const { token } = pagesApi.eventfdReady.args.read(payloadOf(frame));
    for (const wake of this.readable.get(token)?.splice(0) ?? []) wake();
  }

  /** `hear` is called for each such event, until the answer is called. Events may be lost. */
  listen<A>(method: Method<A, void>, hear: (args: A) => void): () => void {
    const listener = (id: number, payload: () => ByteReader): void => {
      if (id === method.id) hear(method.args.read(payload()));
    };
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  /** Resolves when the eventfd may be readable, or after `ms`. */
  async mayBeReadable(token: string, ms: number): Promise<void> {
    const ready = new Promise<void>((resolve) => {
      const waiting = this.readable.get(token);
      if (waiting) waiting.push(resolve);
      else this.readable.set(token, [resolve]);
    });
    await Promise.race([ready, this.ports.sleep(ms)]);
  }

  tick(): void {
    this.caller.tick();
  }
}
