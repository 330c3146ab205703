/**
 * Request and reply of 64 bytes over NATS on loopback, between two threads: ours beside what others have.
 *
 * Rule: every variant is measured in one run, on one server; what is said of ours is a ratio.
 */
import 'reflect-metadata';
import { Worker } from 'node:worker_threads';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { Logger } from '@nestjs/common';
import { ClientNats } from '@nestjs/microservices';
import { type Address, Caller } from '@vfiolab/core';
import { type Load, type Measured, measure } from './bench-load.js';
import { BENCH_SCOPE, RAW_SUBJECT, type ResponderKind, STOCK_PATTERN } from './bench-subjects.js';
import { NatsBus } from './nats-bus.js';
import { startNatsServer } from './nats-server.js';
import { counterApi } from './testing/counter-core.js';

export const NATS_VARIANTS = ['raw nc.request', 'raw own inbox', 'stock Nest, JSON', 'ours'] as const;
export type NatsVariant = (typeof NATS_VARIANTS)[number];

type Ask = (done: (error?: Error) => void) => void;
interface Client {
  readonly ask: Ask;
  close(): Promise<unknown>;
}

const PAYLOAD = new Uint8Array(64).fill(7);

/** Starts a server and a responder, measures one variant, and ends both. */
export async function benchNats(variant: NatsVariant, load: Load): Promise<Measured> {
  const server = await startNatsServer();
  const [kind, open] = CLIENTS[variant];
  const worker = await startResponder(server.url, kind);
  const client = await open(server.url);
  try {
    return await measure(load, client.ask);
  } finally {
    await client.close();
    await worker.terminate();
    await server.stop();
  }
}

function startResponder(url: string, kind: ResponderKind): Promise<Worker> {
  const worker = new Worker(new URL('./bench-responder.js', import.meta.url), { workerData: { url, kind } });
  return new Promise((resolve, reject) => {
    worker.once('message', () => resolve(worker));
    worker.once('error', reject);
  });
}

const CLIENTS: Record<NatsVariant, readonly [ResponderKind, (url: string) => Promise<Client>]> = {
  'raw nc.request': ['raw', plainRequest],
  'raw own inbox': ['raw', ownInbox],
  'stock Nest, JSON': ['stock', stockNest],
  ours: ['actor', ours],
};

async function plainRequest(url: string): Promise<Client> {
  const nc = await connect({ servers: url });
  const ask: Ask = (done) => void nc.request(RAW_SUBJECT, PAYLOAD).then(() => done(), done);
  return { ask, close: () => nc.close() };
}

/** The least that a request and a reply can cost with this client library: one subscription, ids, no time-outs. */
async function ownInbox(url: string): Promise<Client> {
  const nc: NatsConnection = await connect({ servers: url });
  const waiting = new Map<string, () => void>();
  nc.subscribe('bench.inbox.*', {
    callback: (_error, msg) => {
      const done = waiting.get(msg.subject);
      waiting.delete(msg.subject);
      done?.();
    },
  });
  let id = 0;
  const ask: Ask = (done) => {
    const reply = `bench.inbox.${id++}`;
    waiting.set(reply, done);
    nc.publish(RAW_SUBJECT, PAYLOAD, { reply });
  };
  return { ask, close: () => nc.close() };
}

async function stockNest(url: string): Promise<Client> {
  Logger.overrideLogger(['error']);
  const proxy = new ClientNats({ servers: [url] });
  await proxy.connect();
  const data = { bytes: 'x'.repeat(64) };
  const ask: Ask = (done) =>
    void proxy.send<unknown>(STOCK_PATTERN, data).subscribe({ next: () => done(), error: done });
  return { ask, close: async () => proxy.close() };
}

async function ours(url: string): Promise<Client> {
  const client: Address = 'client:bench';
  const bus = await NatsBus.connect({ ...BENCH_SCOPE, url, name: 'bench client' });
  const caller = new Caller({ now: Date.now, send: (to, frame) => bus.send(client, to, frame) });
  bus.attach(client, (from, frame) => caller.receive(from, frame));
  const ask: Ask = (done) => caller.request('pages', counterApi.echo, PAYLOAD, () => done(), done);
  return { ask, close: () => bus.close() };
}
