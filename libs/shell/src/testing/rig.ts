/** A small world for tests: hosts of counters and a lab on a bus, with journals in a folder of their own. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Address, Caller, type Core, LAB, type Method } from '@vfiolab/core';
import { ActorHost, type ActorHostOptions } from '../actor-host.js';
import type { Bus } from '../bus.js';
import { type Durability, openJournal } from '../sqlite-journal.js';
import type { CounterCore } from './counter-core.js';
import { testCores } from './counter-core.js';

export interface RigOptions extends Partial<ActorHostOptions> {
  readonly durability?: Durability;
}

export class Rig {
  readonly dir = mkdtempSync(join(tmpdir(), 'vfiolab-rig-'));
  readonly failures: { address: Address; error: Error }[] = [];
  private readonly hosts: ActorHost[] = [];
  private readonly timers: NodeJS.Timeout[] = [];

  fileOf(address: Address): string {
    return join(this.dir, `${address}.db`);
  }

  async host(
    bus: Bus,
    actors: readonly Address[] = [LAB, 'pages', 'iommu'],
    options: RigOptions = {},
  ): Promise<ActorHost> {
    const { durability: mode = 'process', ...more } = options;
    const host = new ActorHost({
      bus,
      actors,
      cores: testCores,
      journals: (actor) => openJournal({ file: this.fileOf(actor), actor, mode, record: true }),
      onFailed: (address, error) => this.failures.push({ address, error }),
      ...more,
    });
    this.hosts.push(host);
    await host.start();
    return host;
  }

  /** A client on the bus that repeats what is not answered. */
  client(bus: Bus, address: Address = 'client:test'): Caller {
    const caller = new Caller({ now: Date.now, send: (to, frame) => bus.send(address, to, frame) }, 50, 200);
    bus.attach(address, (from, frame) => caller.receive(from, frame));
    this.timers.push(setInterval(() => caller.tick(), 20));
    return caller;
  }

  async stop(): Promise<void> {
    for (const timer of this.timers) clearInterval(timer);
    for (const host of this.hosts) await host.stop();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

export const sumOf = (host: ActorHost, address: Address): number =>
  (host.actor(address)!.machine.core as Core as CounterCore).sum;

/** Calls and adds up what failed, for tests with many requests. */
export const callAll = <A, R>(caller: Caller, to: Address, method: Method<A, R>, args: readonly A[]): Promise<R[]> =>
  Promise.all(args.map((a) => caller.call(to, method, a)));

export async function until(what: string, holds: () => boolean, ms = 5000): Promise<void> {
  const end = Date.now() + ms;
  while (!holds()) {
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** A bus that does to frames what a test says: 0, 1 or 2 deliveries. */
export class UnreliableBus implements Bus {
  /** Copies to deliver of the frame. */
  fate: (from: Address, to: Address) => number = () => 1;
  constructor(private readonly bus: Bus) {}
  attach: Bus['attach'] = (address, receive) => this.bus.attach(address, receive);
  attachService: Bus['attachService'] = (service, receive) => this.bus.attachService(service, receive);
  send: Bus['send'] = (from, to, frame) => {
    for (let n = this.fate(from, to); n > 0; n--) this.bus.send(from, to, frame);
  };
}
