/**
 * One connection to NATS, for as many hosts as its process has to do with.
 *
 * Rule: nothing waits here. While the connection is down or its send buffer is full, frames are dropped and counted;
 * whoever sent them sends them again. What the server refuses is reported, as NATS itself only whispers it.
 */
import { readFileSync } from 'node:fs';
import { MAX_FRAME } from '@vfiolab/core';
import {
  connect,
  type ConnectionOptions,
  type Msg,
  type NatsConnection,
  nkeyAuthenticator,
  PermissionViolationError,
} from '@nats-io/transport-node';
import type { Detach } from './bus.js';

export type BusEvent =
  | { readonly kind: 'connected' | 'disconnected' | 'closed' }
  /** The server does not let this process publish or subscribe there: its permissions are wrong. */
  | { readonly kind: 'forbidden'; readonly operation: string; readonly subject: string }
  | { readonly kind: 'error'; readonly error: Error };

export interface LineOptions {
  /** `nats://[user:password@]host:port`, or several with commas. */
  readonly url: string;
  /** File with the seed of this process's key; undefined: the URL says who it is, or nobody asks. */
  readonly keyFile?: string | undefined;
  /** File with the certificates of the authorities that may vouch for the server; undefined: those of the system. */
  readonly caFile?: string | undefined;
  /** Shown in the server's list of connections. */
  readonly name: string;
  /** How long the first connection may take, ms; default 10 s. */
  readonly connectMs?: number;
  readonly onEvent?: (event: BusEvent) => void;
}

/** Bytes that may wait in the process for the network. */
const MAX_BUFFERED = 64 * 1024 * 1024;
const CONNECT_MS = 10_000;
const FIRST_RETRY_MS = 100;
/** A server that is just changing its configuration may leave an attempt without an answer. */
const ATTEMPT_MS = 3000;

export class NatsLine {
  /** Frames dropped: not connected, or too much waiting for the network. */
  dropped = 0;
  private up = true;
  private closing = false;
  private sent = 0;

  private constructor(
    readonly connection: NatsConnection,
    private readonly onEvent: (event: BusEvent) => void,
  ) {
    void this.followStatus();
  }

  /** Connects, trying again until `connectMs` have gone by; reconnects by itself, for ever, after that. */
  static async connect(options: LineOptions, inboxPrefix: string): Promise<NatsLine> {
    const connection = await firstConnection({ ...connectionOptions(options), inboxPrefix }, options);
    const allowed = connection.info?.max_payload ?? 0;
    if (allowed < MAX_FRAME) {
      await connection.close();
      throw new Error(
        `${options.url}: the server takes messages of at most ${allowed} bytes. Set max_payload to ${MAX_FRAME} or more in its configuration.`,
      );
    }
    return new NatsLine(connection, options.onEvent ?? (() => undefined));
  }

  /** Is there a server right now? */
  get connected(): boolean {
    return this.up;
  }

  publish(subject: string, frame: Uint8Array): void {
    if (!this.up || ((this.sent++ & 255) === 0 && this.buffered() > MAX_BUFFERED)) this.dropped++;
    else this.connection.publish(subject, frame);
  }

  subscribe(subject: string, receive: (msg: Msg) => void): Detach {
    const subscription = this.connection.subscribe(subject, {
      callback: (error, msg) => (error ? this.report(error) : receive(msg)),
    });
    return () => {
      if (!this.connection.isClosed()) subscription.unsubscribe();
    };
  }

  /** Sends what waits, then ends the connection. */
  async close(): Promise<void> {
    this.up = false;
    this.closing = true;
    // While there is no server there is nobody to send it to.
    if (!this.connection.isClosed()) await this.connection.drain().catch(() => this.connection.close());
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

function connectionOptions({ url, name, keyFile, caFile }: LineOptions): ConnectionOptions {
  const urls = url.split(',').map((u) => parseUrl(u.trim()));
  const { username, password } = urls[0]!;
  // One address that asks for TLS asks for all of them: a reconnection must not fall back to none.
  const secure = caFile !== undefined || urls.some(({ protocol }) => protocol === 'tls:');
  return {
    servers: urls.map((u) => u.host),
    ...(secure && { tls: { ...(caFile !== undefined && { caFile }) } }),
    ...(keyFile !== undefined && { authenticator: nkeyAuthenticator(readFileSync(keyFile)) }),
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
  { url, connectMs = CONNECT_MS }: LineOptions,
): Promise<NatsConnection> {
  const end = Date.now() + connectMs;
  for (;;) {
    try {
      return await connect({ ...options, timeout: Math.min(ATTEMPT_MS, Math.max(1000, end - Date.now())) });
    } catch (e) {
      if (Date.now() >= end)
        throw new Error(
          `${url}: no NATS server answered in ${connectMs} ms (${(e as Error).message}). Start one there, or give another address.`,
          { cause: e },
        );
      await new Promise((resolve) => setTimeout(resolve, FIRST_RETRY_MS));
    }
  }
}
