/**
 * A whole host in this process: the default, which needs no server.
 *
 * Rule: the actors are those that run in processes of their own on NATS; only the bus differs.
 */
import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { type ActorLimits, type Address, type LentMemory, PAGES } from '@vfiolab/core';
import { Link } from '@vfiolab/client';
import { makeCore, SERVICES, stateHash } from '@vfiolab/host';
import type { CrashPlan, Environment, FaultControl, RunEnd } from '@vfiolab/scenario';
import {
  ActorHost,
  type Bus,
  changePlan,
  type Detach,
  type Durability,
  HOST_LIMITS,
  MemoryBus,
  type Receive,
  type ReceiveFor,
  ServiceModule,
  TurnScheduler,
} from '@vfiolab/shell';
import { faultControl } from './fault-control.js';
import { inspectActor } from './inspect.js';
import { configOf, makeRunFolder } from './run-folder.js';
import { CrashTrigger } from './tap.js';

export interface StartOptions {
  /** Folder of the run; made here. */
  readonly dir: string;
  readonly durability: Durability;
  /** Keeps the whole journal, so that the run can be replayed from its beginning. */
  readonly record?: boolean;
  /** Other limits of the actors than the services'. */
  readonly limits?: Partial<ActorLimits>;
  /**
   * Memory of this process that programs of the lab may use in place, by names that only they know. It is in no journal, so
   * `pages` has none either and cannot be killed; the other services can. Such a run is not recorded.
   */
  readonly lent?: LentMemory;
}

/** What only a lab in this process can do. */
export interface EmbeddedLab extends Environment {
  /** Forgets the link of a client that has ended. */
  unlink(name: string): void;
}

/** The memory bus with a tap. */
class TappedBus implements Bus {
  readonly taps = new Set<(from: Address, to: Address, frame: Uint8Array) => boolean>();
  constructor(private readonly inner: Bus) {}
  attach(address: Address, receive: Receive): Detach {
    return this.inner.attach(address, (from, frame) => this.passes(from, address, frame) && receive(from, frame));
  }
  attachService(service: string, receive: ReceiveFor): Detach {
    return this.inner.attachService(
      service,
      (to, from, frame) => this.passes(from, to, frame) && receive(to, from, frame),
    );
  }
  send(from: Address, to: Address, frame: Uint8Array): void {
    this.inner.send(from, to, frame);
  }
  private passes(from: Address, to: Address, frame: Uint8Array): boolean {
    if (this.taps.size > 0) for (const tap of this.taps) if (tap(from, to, frame)) return false;
    return true;
  }
}

export async function startEmbedded(options: StartOptions): Promise<EmbeddedLab> {
  const { dir, durability, record = true, limits, lent } = options;
  if (lent && record) throw new Error('memory of another program is in no journal: the run cannot be recorded');
  makeRunFolder(dir);
  const scheduler = new TurnScheduler();
  const bus = new TappedBus(new MemoryBus(scheduler));
  const failures: string[] = [];
  const module = ServiceModule.forRoot({
    services: [...SERVICES, 'device'],
    cores: (address) => makeCore(address, lent),
    bus,
    config: configOf(dir, durability, record),
    unjournaled: lent ? [PAGES] : [],
    onFailed: (address, error) => failures.push(`${address} stopped: ${error.message}`),
    host: { scheduler, limits: { ...HOST_LIMITS, ...limits } },
  });
  const app = await NestFactory.createApplicationContext(module, {
    logger: ['error', 'warn', 'fatal'],
    abortOnError: false,
  });
  const host = app.get(ActorHost);
  await Promise.all(SERVICES.map((s) => host.serving(s)));
  return new EmbeddedEnvironment(host, bus, failures, () => app.close());
}

class EmbeddedEnvironment implements EmbeddedLab {
  readonly mode = 'embedded';
  readonly faults: FaultControl;
  private readonly links = new Map<string, { link: Link; timer: NodeJS.Timeout; detach: Detach }>();

  constructor(
    private readonly host: ActorHost,
    private readonly bus: TappedBus,
    private readonly failures: string[],
    private readonly close: () => Promise<void>,
  ) {
    this.faults = faultControl((change) => Promise.resolve(changePlan(this.host.plan.edge, change)));
  }

  link(name: string): Link {
    const known = this.links.get(name);
    if (known) return known.link;
    const address = `client:${name}`;
    const link = new Link({ now: Date.now, sleep, send: (to, frame) => this.bus.send(address, to, frame) });
    const detach = this.bus.attach(address, (from, frame) => link.receive(from, frame));
    const timer = setInterval(() => link.tick(), 20);
    timer.unref();
    this.links.set(name, { link, timer, detach });
    return link;
  }

  unlink(name: string): void {
    const known = this.links.get(name);
    if (!known) return;
    clearInterval(known.timer);
    known.detach();
    known.link.close(new Error(`the client ${name} has ended`));
    this.links.delete(name);
  }

  crash(plan: CrashPlan): Promise<void> {
    const trigger = new CrashTrigger(plan);
    return new Promise((resolve, reject) => {
      const tap = (from: Address, to: Address, frame: Uint8Array): boolean => {
        if (!trigger.see(from, to, frame)) return false;
        this.bus.taps.delete(tap);
        this.host.kill(plan.service);
        this.reviveLater(plan).then(resolve, reject);
        return true;
      };
      this.bus.taps.add(tap);
    });
  }

  private async reviveLater({ service, downMs }: CrashPlan): Promise<void> {
    await sleep(downMs);
    await this.host.revive(service);
    await this.host.serving(service);
  }

  inspect(address: Address): ReturnType<Environment['inspect']> {
    return inspectActor(this.link('operator'), address);
  }

  actors(): Promise<Address[]> {
    return Promise.resolve(this.addresses());
  }

  private addresses(): Address[] {
    return this.host
      .states()
      .map((s) => s.address)
      .sort();
  }

  async end(): Promise<RunEnd> {
    await this.faults.clear();
    await this.host.plan.mended();
    await this.quiet();
    const running = this.addresses().map((address) => ({ address, actor: this.host.actor(address)! }));
    const actors = running.map(({ address, actor: { machine, seq, head } }) => ({
      address,
      seq,
      clock: machine.clock,
      journalHash: head.hash,
      stateHash: stateHash(machine),
    }));
    const broken = running.flatMap(({ actor }) => actor.machine.core.check());
    for (const { timer, detach } of this.links.values()) {
      clearInterval(timer);
      detach();
    }
    await this.close();
    return { actors, broken: [...this.failures, ...broken] };
  }

  /** Waits until no operation is in flight and no frame under way: then every journal is at its end. */
  private async quiet(): Promise<void> {
    for (let calm = 0, seen = -1; calm < 3;) {
      await sleep(10);
      const total = this.addresses().reduce((n, a) => n + (this.host.actor(a)?.seq ?? 0), 0);
      const idle = this.addresses().every((a) => this.host.actor(a)?.machine.idle);
      calm = idle && total === seen ? calm + 1 : 0;
      seen = total;
    }
  }
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
