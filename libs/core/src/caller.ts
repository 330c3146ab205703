/**
 * The client's side of the mechanism: requests with ids, retries under the same id, and the answer.
 *
 * Rule: a time-out never means that the call did not happen. It is either repeated with the same id, which is safe, or
 * reported as unknown.
 */
import type { Address } from './address.js';
import type { AnyMethod, Method } from './codec.js';
import { decodeHeader, emptyHeader, encodeFrame, FLAG_ENTROPY, payloadOf, REPLY, REQUEST, STATUS } from './frame.js';
import { Channel } from './session.js';

export interface CallerPorts {
  now(): number;
  send(to: Address, frame: Uint8Array): void;
}

interface Waiting {
  readonly method: AnyMethod;
  readonly settle: (reply: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** The receiver refused the call as such: not an errno of the kernel. */
export class CallRefused extends Error {
  constructor(
    message: string,
    /** One of `STATUS`. */
    readonly status: number,
  ) {
    super(message);
  }
}

export class Caller {
  private readonly channels = new Map<Address, Channel<Waiting>>();
  private clock = 0;
  private readonly incoming = emptyHeader();
  /** Requests that wait because a window is full. */
  private readonly held: (() => void)[] = [];

  constructor(
    private readonly ports: CallerPorts,
    private readonly retryMs = 200,
    private readonly retryMaxMs = 2000,
  ) {}

  /** Sends a request; `deadline` in ms since the epoch, 0 for none: past it, the receiver does not begin it. */
  request<A, R>(
    to: Address,
    method: Method<A, R>,
    args: A,
    settle: (reply: R) => void,
    reject: (error: Error) => void,
    deadline = 0,
  ): void {
    const channel = this.channel(to);
    if (channel.full) {
      this.held.push(() => this.request(to, method, args, settle, reject, deadline));
      return;
    }
    const waiting: Waiting = { method, settle: settle as (reply: unknown) => void, reject };
    const flags = method.entropy ? FLAG_ENTROPY : 0;
    const clock = this.clock;
    const frame = channel.send(waiting, (id, floor) =>
      encodeFrame(
        { kind: REQUEST, flags, method: method.id, epoch: 0, id, floor, clock, seen: 0, deadline },
        method.args,
        args,
      ),
    );
    this.ports.send(to, frame);
  }

  call<A, R>(to: Address, method: Method<A, R>, args: A, deadline = 0): Promise<R> {
    return new Promise((resolve, reject) => this.request(to, method, args, resolve, reject, deadline));
  }

  private channel(to: Address): Channel<Waiting> {
    let c = this.channels.get(to);
    if (!c) this.channels.set(to, (c = new Channel()));
    return c;
  }

  /** Takes a reply; repetitions are ignored. */
  receive(from: Address, frame: Uint8Array): void {
    const h = decodeHeader(frame, this.incoming);
    if (h.clock > this.clock) this.clock = h.clock;
    if (h.kind !== REPLY || h.method === STATUS.overloaded) return;
    const waiting = this.channels.get(from)?.settle(h.id);
    if (!waiting) return;
    if (h.method === STATUS.ok) waiting.settle(waiting.method.reply.read(payloadOf(frame)));
    else waiting.reject(new CallRefused(`${from} refused ${waiting.method.name}: ${refusal(h.method)}`, h.method));
    this.held.shift()?.();
  }

  /** Sends again what has waited long enough. */
  tick(): void {
    const now = this.ports.now();
    for (const [to, channel] of this.channels) {
      if (channel.size === 0) continue;
      for (const p of channel.pending()) {
        if (p.sentAt === 0) p.sentAt = now;
        // A clock that was set back must not stop repetitions until it has caught up.
        if (Math.abs(now - p.sentAt) < Math.min(this.retryMs * 2 ** p.tries, this.retryMaxMs)) continue;
        p.sentAt = now;
        p.tries++;
        this.ports.send(to, p.frame);
      }
    }
  }

  get open(): number {
    let n = this.held.length;
    for (const c of this.channels.values()) n += c.size;
    return n;
  }
}

function refusal(status: number): string {
  if (status === STATUS.expired) return 'it arrived after its deadline and was not begun';
  if (status === STATUS.fenced) return 'this client was replaced by a newer one';
  if (status === STATUS.gone) return 'this client has ended';
  if (status === STATUS.forbidden) return 'only services may call it';
  return 'its bytes do not fit the method';
}
