/**
 * The bus on NATS: one host, over a connection that it may share with other hosts.
 *
 * Rule: a frame goes to the subject of this host and to no other; a process that serves several hosts has a bus for each.
 */
import { type Address, MAX_FRAME } from '@vfiolab/core';
import { type NatsConnection, NoRespondersError, RequestError, TimeoutError } from '@nats-io/transport-node';
import type { Bus, Detach, Receive, ReceiveFor } from './bus.js';
import { type LineOptions, NatsLine } from './nats-line.js';
import {
  addressInbox,
  addressSubject,
  controlInbox,
  controlSubject,
  parseFrameSubject,
  scopeSubject,
  type Scope,
  serviceInbox,
} from './nats-subjects.js';

export interface NatsBusOptions extends Scope, LineOptions {}

/** Subjects remembered, so that they need not be built for each frame. */
const MAX_SUBJECTS = 4096;

export class NatsBus implements Bus {
  readonly scope: string;
  private readonly subjects = new Map<Address, Map<Address, string>>();
  private readonly parties = new Map<string, { to: Address; from: Address }>();
  private readonly depth: number;

  private constructor(
    private readonly line: NatsLine,
    private readonly where: Scope,
  ) {
    this.scope = scopeSubject(where);
    this.depth = this.scope.split('.').length;
  }

  /** Connects, trying again until `connectMs` have gone by; reconnects by itself, for ever, after that. */
  static async connect(options: NatsBusOptions): Promise<NatsBus> {
    return new NatsBus(await NatsLine.connect(options, controlInbox(scopeSubject(options))), options);
  }

  /** Another host of the same lab, over the same connection. Nothing of it is left once its receivers are detached. */
  forHost(host: string): NatsBus {
    const { tenant, lab } = this.where;
    return new NatsBus(this.line, { tenant, lab, host });
  }

  get connection(): NatsConnection {
    return this.line.connection;
  }

  get connected(): boolean {
    return this.line.connected;
  }

  /** Frames dropped by the connection: not connected, or too much waiting for the network. */
  get dropped(): number {
    return this.line.dropped;
  }

  attach(address: Address, receive: Receive): Detach {
    return this.subscribe(addressInbox(this.scope, address), (_to, from, frame) => receive(from, frame));
  }

  attachService(service: string, receive: ReceiveFor): Detach {
    addressSubject(service);
    return this.subscribe(serviceInbox(this.scope, service), receive);
  }

  private subscribe(subject: string, receive: ReceiveFor): Detach {
    return this.line.subscribe(subject, (msg) => {
      const { to, from } = this.partiesOf(msg.subject);
      // A copy: the connection's buffer is larger, and would be kept as long as the frame.
      receive(to, from, new Uint8Array(msg.data));
    });
  }

  send(from: Address, to: Address, frame: Uint8Array): void {
    if (frame.length > MAX_FRAME)
      throw new Error(`${from} to ${to}: a frame of ${frame.length} bytes, at most ${MAX_FRAME}`);
    this.line.publish(this.subjectOf(from, to), frame);
  }

  /** Asks a service something as an operator, with JSON both ways. Throws what it refuses. */
  async control(service: string, pattern: string, data: unknown, timeoutMs = 5000): Promise<unknown> {
    const subject = controlSubject(this.scope, service, pattern);
    const answer = await this.connection.request(subject, JSON.stringify(data), { timeout: timeoutMs });
    const { response, err } = answer.json<{ response?: unknown; err?: unknown }>();
    if (err !== undefined) throw new Error(`${service}.${pattern}: ${inWords(err)}`);
    return response;
  }

  /** Sends what waits, then ends the connection, for all its hosts. */
  close(): Promise<void> {
    return this.line.close();
  }

  private subjectOf(from: Address, to: Address): string {
    const known = this.subjects.get(from)?.get(to);
    if (known !== undefined) return known;
    if (this.subjects.size >= MAX_SUBJECTS) this.subjects.clear();
    let ofSender = this.subjects.get(from);
    if (!ofSender || ofSender.size >= MAX_SUBJECTS) this.subjects.set(from, (ofSender = new Map()));
    const subject = `${this.scope}.${addressSubject(to)}.${addressSubject(from)}`;
    ofSender.set(to, subject);
    return subject;
  }

  private partiesOf(subject: string): { to: Address; from: Address } {
    let p = this.parties.get(subject);
    if (p) return p;
    if (this.parties.size >= MAX_SUBJECTS) this.parties.clear();
    this.parties.set(subject, (p = parseFrameSubject(subject, this.depth)));
    return p;
  }
}

/** Was it that nobody has answered `control`, and not what the answer was? */
export const isUnanswered = (error: unknown): boolean =>
  [RequestError, NoRespondersError, TimeoutError].some((kind) => error instanceof kind);

/** An error of a handler is a text; one of Nest is an object with a message. */
function inWords(err: unknown): string {
  if (typeof err === 'string') return err;
  const { message } = err as { message?: unknown };
  return typeof message === 'string' ? message : JSON.stringify(err);
}
