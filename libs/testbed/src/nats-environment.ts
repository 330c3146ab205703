/**
 * One host whose services are processes on NATS.
 *
 * Rule: nothing is shared with the services but the bus and, after the end, what they keep on disk.
 */
import { type Address, mergeStatus, type RuleStatus } from '@vfiolab/core';
import type { Link } from '@vfiolab/client';
import { SERVICES } from '@vfiolab/host';
import type { CrashPlan, Environment, FaultControl, Inspection, RunEnd } from '@vfiolab/scenario';
import { type NatsBus, parseFrameSubject, type PlanChange } from '@vfiolab/shell';
import { faultControl } from './fault-control.js';
import { inspectActor } from './inspect.js';
import { openLink, type OpenLink, sleep } from './open-link.js';
import { PROCESSES } from './service-processes.js';
import { CrashTrigger } from './tap.js';

/** What differs between a host that has the processes for itself and one of many. */
export interface HostWays {
  /** Addresses of its devices: they have an actor each, made when it is needed. */
  devices(): Promise<Address[]>;
  /** Kills the plan's service and brings it back; undefined when it would come back empty. */
  readonly crash: ((plan: CrashPlan) => Promise<void>) | undefined;
  /** Asks a service's process as an operator does. */
  ask(service: string, pattern: string, data: object): Promise<unknown>;
  /** Resolves when every process that a fault plan has killed is back. */
  mended(): Promise<void>;
  /** Where others can reach the host. */
  readonly url?: string;
  /** Ends the host. No link is used any more. */
  end(): Promise<RunEnd>;
}

/** Operations in flight have this long to end when a host ends, ms. */
const QUIET_MS = 10_000;
const LOOK_MS = 20;
const ASK_TRIES = 5;
const ASK_AGAIN_MS = 100;

export class NatsEnvironment implements Environment {
  readonly mode = 'nats';
  private readonly links = new Map<string, OpenLink>();

  readonly faults: FaultControl;
  readonly url?: string;

  private over: Error | undefined;

  constructor(
    private readonly bus: NatsBus,
    private readonly ways: HostWays,
  ) {
    this.faults = faultControl((change) => this.changePlan(change));
    if (ways.url !== undefined) this.url = ways.url;
  }

  /** Each service has its part of the plan. */
  private async changePlan(change: PlanChange): Promise<RuleStatus[]> {
    const all = await Promise.all(PROCESSES.map((service) => this.askAgain(service, change)));
    return mergeStatus(all as RuleStatus[][]);
  }

  /** A process may just have been killed: it is asked when it is back. */
  private async askAgain(service: string, change: PlanChange, tries = ASK_TRIES): Promise<unknown> {
    await this.ways.mended();
    try {
      return await this.ways.ask(service, 'faults', change);
    } catch (e) {
      if (tries === 1 || (e as Error).message.startsWith(`${service}.`)) throw e;
      await sleep(ASK_AGAIN_MS);
      return this.askAgain(service, change, tries - 1);
    }
  }

  /** The lab is gone, with whatever was under way: every call rejects with the reason. */
  abandon(why: Error): void {
    this.over = why;
    for (const { link } of this.links.values()) link.close(why);
    this.detach();
  }

  link(name: string): Link {
    const known = this.links.get(name);
    if (known) return known.link;
    if (this.over) throw this.over;
    const opened = openLink(this.bus, name);
    this.links.set(name, opened);
    return opened.link;
  }

  /** Listens to everything said to and by the service; kills its process when the plan's frame passes. */
  crash(plan: CrashPlan): Promise<void> {
    const crash = this.ways.crash;
    if (!crash) throw new Error('durability none keeps no journal: a killed service would come back empty');
    const trigger = new CrashTrigger(plan);
    const { connection, scope } = this.bus;
    const depth = scope.split('.').length;
    return new Promise((resolve, reject) => {
      const tap = connection.subscribe(`${scope}.*.*.*.*`, {
        callback: (error, msg) => {
          if (error) return reject(error);
          const { to, from } = parseFrameSubject(msg.subject, depth);
          if (!trigger.see(from, to, msg.data)) return;
          tap.unsubscribe();
          crash(plan).then(resolve, reject);
        },
      });
    });
  }

  async inspect(address: Address): Promise<Inspection> {
    return inspectActor(this.link('operator'), address);
  }

  async actors(): Promise<Address[]> {
    return [...SERVICES, ...(await this.ways.devices())].sort();
  }

  async end(): Promise<RunEnd> {
    await this.ways.mended();
    const stuck = await this.quiet();
    this.detach();
    const { actors, broken } = await this.ways.end();
    return { actors, broken: [...stuck, ...broken] };
  }

  private detach(): void {
    for (const { close } of this.links.values()) close();
  }

  /** Waits until no service has an operation in flight; says which have some after a long time. */
  private async quiet(): Promise<string[]> {
    const until = Date.now() + QUIET_MS;
    const stuck = await Promise.all((await this.actors()).map((address) => this.idle(address, until)));
    return stuck.filter((words) => words !== '');
  }

  private async idle(address: Address, until: number): Promise<string> {
    for (;;) {
      const { busy } = await this.inspect(address);
      if (busy === 0) return '';
      if (Date.now() > until) return `${address}: ${busy} operations in flight do not end`;
      await sleep(LOOK_MS);
    }
  }
}
