/**
 * The bus on NATS: one connection of one process.
 *
 * Rule: nothing waits here. While the connection is down or its send buffer is full, frames are dropped and counted;
 * whoever sent them sends them again. What the server refuses is reported, as NATS itself only whispers it.
 */
import { type Address, MAX_FRAME } from '@vfiolab/core';
import {
  connect,
  type ConnectionOptions,
  type NatsConnection,
  PermissionViolationError,
  type Subscription,
} from '@nats-io/transport-node';
import type { Bus, Detach, Receive, ReceiveFor } from './bus.js';
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

export type BusEvent =
  | { readonly kind: 'connected' | 'disconnected' | 'closed' }
  /** The server does not let this process publish or subscribe there: its permissions are wrong. */
  | { readonly kind: 'forbidden'; readonly operation: string; readonly subject: string }
  | { readonly kind: 'error'; readonly error: Error };

export interface NatsBusOptions extends Scope {
  /** `nats://[user:password@]host:port`, or several with commas. */
  readonly url: string;
  /** Shown in the server's list of connections. */
  readonly name: string;
  /** How long the first connection may take, ms; default 10 s. */
  readonly connectMs?: number;
  readonly onEvent?: (event: BusEvent) => void;
}

/** Bytes that may wait in the process for the network. */
const MAX_BUFFERED = 64 * 1024 * 1024;
/** Subjects remembered, so that they need not be built for each frame. */
const MAX_SUBJECTS = 4096;
const CONNECT_MS = 10_000;
const FIRST_RETRY_MS = 100;

export class NatsBus implements Bus {
  /** Frames dropped: not connected, or too much waiting for the network. */
  dropped = 0;
  private up = true;
  private closing = false;
  private readonly subjects = new Map<Address, Map<Address, string>>();
  private readonly parties = new Map<string, { to: Address; from: Address }>();
  private readonly depth: number;
  private sent = 0;

  private constructor(
    readonly connection: NatsConnection,
    readonly scope: string,
    private readonly onEvent: (event: BusEvent) => void,
  ) {
    this.depth = scope.split('.').length;
    void this.followStatus();
  }

  /** Connects, trying again until `connectMs` have gone by; reconnects by itself, for ever, after that. */
  static async connect(options: NatsBusOptions): Promise<NatsBus> {
    const scope = scopeSubject(options);
    const connection = await firstConnection(
      { ...connectionOptions(options), inboxPrefix: controlInbox(scope) },
      options,
    );
    const allowed = connection.info?.max_payload ?? 0;
    if (allowed < MAX_FRAME) {
      await connection.close();
      throw new Error(
        `${options.url}: the server takes messages of at most ${allowed} bytes. Set max_payload to ${MAX_FRAME} or more in its configuration.`,
      );
    }
    return new NatsBus(connection, scope, options.onEvent ?? (() => undefined));
  }

  attach(address: Address, receive: Receive): Detach {
    return this.subscribe(addressInbox(this.scope, address), (_to, from, frame) => receive(from, frame));
  }

  attachService(service: string, receive: ReceiveFor): Detach {
    addressSubject(service);
    return this.subscribe(serviceInbox(this.scope, service), receive);
  }

  private subscribe(subject: string, receive: ReceiveFor): Detach {
    const subscription: Subscription = this.connection.subscribe(subject, {
      callback: (error, msg) => {
        if (error) return this.report(error);
        const { to, from } = this.partiesOf(msg.subject);
        // A copy: the connection's buffer is larger, and would be kept as long as the frame.
        receive(to, from, new Uint8Array(msg.data));
      },
    });
    return () => {
      if (!this.connection.isClosed()) subscription.unsubscribe();
    };
  }

  send(from: Address, to: Address, frame: Uint8Array): void {
    if (frame.length > MAX_FRAME)
      throw new Error(`${from} to ${to}: a frame of ${frame.length} bytes, at most ${MAX_FRAME}`);
    if (!this.up || ((this.sent++ & 255) === 0 && this.buffered() > MAX_BUFFERED)) {
      this.dropped++;
      return;
    }
    this.connection.publish(this.subjectOf(from, to), frame);
  }

  /** Asks a service something as an operator, with JSON both ways. */
  async control(service: string, pattern: string, data: unknown, timeoutMs = 5000): Promise<unknown> {
    const subject = controlSubject(this.scope, service, pattern);
    const answer = await this.connection.request(subject, JSON.stringify(data), { timeout: timeoutMs });
    const { response, err } = answer.json<{ response?: unknown; err?: unknown }>();
    if (err !== undefined)
      throw new Error(`${service}.${pattern}: ${typeof err === 'string' ? err : JSON.stringify(err)}`);
    return response;
  }

  /** Sends what waits, then ends the connection. */
  async close(): Promise<void> {
    this.up = false;
    this.closing = true;
    if (!this.connection.isClosed()) await this.connection.drain();
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

  /** Bytes that the socket has not taken yet. The client library has no public way to ask; without one the answer is 0. */
  private buffered(): number {
    const { protocol } = this.connection as { protocol?: { transport?: { socket?: { writableLength?: number } } } };
    return protocol?.transport?.socket?.writableLength ?? 0;
  }

  private async followStatus(): Promise<void> {
    for await (const status of this.connection.status()) {
      if (status.type === 'disconnect') this.change(false, 'disconnected');
      else if (status.type === 'reconnect') this.change(true, 'connected');
      else if (status.type === 'close' && !this.closing) this.change(false, 'closed');
      else if (status.type === 'error') this.report(status.error);
    }
  }

  private change(up: boolean, kind: 'connected' | 'disconnected' | 'closed'): void {
    this.up = up;
    this.onEvent({ kind });
  }

  private report(error: Error): void {
    if (error instanceof PermissionViolationError)
      this.onEvent({ kind: 'forbidden', operation: error.operation, subject: error.subject });
    else this.onEvent({ kind: 'error', error });
  }
}

function connectionOptions({ url, name }: NatsBusOptions): ConnectionOptions {
  const urls = url.split(',').map((u) => parseUrl(u.trim()));
  const { username, password } = urls[0]!;
  return {
    servers: urls.map((u) => u.host),
    ...(username !== '' && { user: decodeURIComponent(username), pass: decodeURIComponent(password) }),
    name,
    // A server that hangs is noticed only by missing pongs.
    pingInterval: 1000,
    maxPingOut: 2,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 100,
    reconnectJitter: 100,
    ignoreAuthErrorAbort: true,
    noAsyncTraces: true,
  };
}

function parseUrl(url: string): URL {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (!parsed || !/^(nats|tls):$/.test(parsed.protocol) || parsed.host === '')
    throw new Error(`VFIOLAB_NATS: '${url}' is not a NATS address like nats://127.0.0.1:4222`);
  return parsed;
}

async function firstConnection(
  options: ConnectionOptions,
  { url, connectMs = CONNECT_MS }: NatsBusOptions,
): Promise<NatsConnection> {
  const end = Date.now() + connectMs;
  for (;;) {
    try {
      return await connect({ ...options, timeout: Math.max(1000, end - Date.now()) });
    } catch (e) {
      if (Date.now() >= end)
        throw new Error(
          `${url}: no NATS server answered in ${connectMs} ms (${(e as Error).message}). Start one, or set VFIOLAB_NATS.`,
          { cause: e },
        );
      await new Promise((resolve) => setTimeout(resolve, FIRST_RETRY_MS));
    }
  }
}
