/**
 * A lab that stays: instances of the services on NATS, hosts spread over them, kept as its plan says.
 *
 * Words: the *registry* is a lab service of its own with an empty host; it knows which instance has which host, each
 * placement with an epoch. An instance's journals are below `<data>/instances/<instance>`.
 * Rule: a host is served where the registry says. It moves in this order: nobody serves it, the registry is told by compare
 * and set, its journals are moved, it is served. Whatever was interrupted is completed by the next `apply`.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { clientAddress, LAB, labApi } from '@vfiolab/core';
import { type LabHost, type LabPlan, makeHost, readMachine } from '@vfiolab/scenario';
import { isUnanswered, type ShellConfig } from '@vfiolab/shell';
import { openLink, type OpenLink, sleep } from '../open-link.js';
import { PROCESSES } from '../service-processes.js';
import { Instance } from './instance.js';
import { guardOf, keysOf, OPERATOR_KEY, serviceKey } from './lab-keys.js';
import { type LabStatus, statusOf } from './lab-status.js';
import { OwnServer } from './own-server.js';
import { type Placed, spread } from './spread.js';

/** The plan cannot be carried out as it is; nothing was changed. */
export class PlanRefused extends Error {}

const REGISTRY = 'registry';
/** Recovering the actors of a host may take its time. */
const SERVE_MS = 60_000;
const NATS_AGAIN_MS = 200;

export class StandingLab {
  readonly instances = new Map<string, Instance>();
  private last: Promise<unknown> = Promise.resolve();
  private ending = false;

  private constructor(
    public plan: LabPlan,
    readonly registry: Instance,
    private readonly desk: OpenLink,
    private readonly server: OwnServer | undefined,
  ) {}

  /** Starts the registry and carries the plan out. Rejects, with nothing left behind but journals, when it cannot. */
  static async start(plan: LabPlan): Promise<StandingLab> {
    mkdirSync(plan.data, { recursive: true, mode: 0o700 });
    const server = plan.nats === 'auto' ? await OwnServer.start(guardOf(plan, REGISTRY)) : undefined;
    const nats = server?.url ?? plan.nats;
    let registry: Instance | undefined;
    try {
      registry = await startInstance(plan, REGISTRY, 0, nats, [LAB]);
      const lab = new StandingLab(plan, registry, openLink(registry.bus, operatorName()), server);
      await lab.apply(plan).catch(async (e: unknown) => {
        await lab.end();
        throw e;
      });
      return lab;
    } catch (e) {
      await registry?.stop();
      await server?.stop();
      throw e;
    }
  }

  get url(): string {
    return this.registry.config.nats!;
  }

  get serverPid(): number | undefined {
    return this.server?.pid;
  }

  /** Makes the lab what the plan says, one plan after the other. May be repeated. */
  apply(plan: LabPlan): Promise<void> {
    const applied = this.last.then(() => this.carryOut(plan));
    this.last = applied.catch(() => undefined);
    return applied;
  }

  private async carryOut(plan: LabPlan): Promise<void> {
    if (this.ending) throw new PlanRefused('the lab is ending');
    this.refuseChanges(plan);
    this.server?.reload(guardOf(plan, REGISTRY, this.instances.keys()));
    await this.startInstances(plan);
    const now = await this.placements();
    const where = spread(plan, now);
    for (const placed of now) await this.placeElsewhere(placed, where.get(placed.host) ?? '');
    for (const { name } of plan.hosts)
      if (!now.some(({ host }) => host === name)) await this.place(name, where.get(name)!, 0);
    for (const host of plan.hosts) {
      await this.settle(host.name, where.get(host.name)!);
      await this.make(host);
    }
    for (const [name, instance] of this.instances)
      if (!plan.instances.some((wanted) => wanted.name === name)) {
        this.instances.delete(name);
        await instance.stop();
      }
    this.server?.reload(guardOf(plan, REGISTRY));
    this.plan = plan;
  }

  private refuseChanges(plan: LabPlan): void {
    for (const field of ['name', 'tenant', 'nats', 'data', 'durability'] as const)
      if (plan[field] !== this.plan[field])
        throw new PlanRefused(`${field} cannot change while the lab is up: run vfiolab down first`);
    for (const { name, spec } of plan.hosts) {
      const before = this.plan.hosts.find((host) => host.name === name);
      if (before && JSON.stringify(before.spec) !== JSON.stringify(spec))
        throw new PlanRefused(`host ${name}: a host that was made cannot change. Give the new one another name.`);
    }
  }

  private async startInstances(plan: LabPlan): Promise<void> {
    for (const { name, hosts } of plan.instances) {
      const running = this.instances.get(name);
      // Its home is one of the hosts that its processes serve.
      if (running?.config.hosts === hosts + 1) continue;
      await running?.stop();
      this.instances.delete(name);
      this.instances.set(name, await startInstance(plan, name, hosts, this.url, PROCESSES));
    }
  }

  /** By host. */
  placements(): Promise<Placed[]> {
    return this.desk.link.call(LAB, labApi.placements, undefined);
  }

  /** A host that is to be elsewhere, or nowhere, is served by nobody until it has settled there. */
  private async placeElsewhere({ host, instance: from, epoch }: Placed, to: string): Promise<void> {
    if (from === to) return;
    await this.release(host, from);
    await this.place(host, to, epoch);
  }

  private async place(host: string, instance: string, known: number): Promise<void> {
    const placed = await this.desk.link.call(LAB, labApi.place, { host, instance, known });
    if (!placed.ok) throw new Error(`host ${host} was not placed on ${instance}: ${placed.errno}`);
  }

  /** Its journals come to the instance, and it is served. Does nothing where it is so already. */
  private async settle(host: string, instance: string): Promise<void> {
    await this.bringJournals(host, instance);
    // The others register with the lab service.
    await this.tell(instance, LAB, 'serve', host);
    await Promise.all(PROCESSES.filter((s) => s !== LAB).map((service) => this.tell(instance, service, 'serve', host)));
  }

  private async release(host: string, from: string): Promise<void> {
    if (!this.instances.has(from)) return;
    await Promise.all(PROCESSES.map((service) => this.tell(from, service, 'release', host)));
  }

  /** The journals of a host lie where it was served last. */
  private async bringJournals(host: string, to: string): Promise<void> {
    const folder = (instance: string): string => journalsOf(this.plan, instance, host);
    for (const from of instanceNames(this.plan.data)) {
      if (from === to || !existsSync(folder(from)) || existsSync(folder(to))) continue;
      await this.release(host, from);
      mkdirSync(dirname(folder(to)), { recursive: true, mode: 0o700 });
      renameSync(folder(from), folder(to));
    }
  }

  /** A process that is just being started again is waited for. */
  private async tell(instance: string, service: string, what: 'serve' | 'release', host: string): Promise<void> {
    const { bus } = this.instances.get(instance)!;
    for (const until = Date.now() + SERVE_MS; ; await sleep(NATS_AGAIN_MS))
      try {
        await bus.control(service, what, { host }, SERVE_MS);
        return;
      } catch (e) {
        if (!isUnanswered(e) || Date.now() > until) throw new Error(`instance ${instance}: ${(e as Error).message}`);
      }
  }

  private async make({ name, spec }: LabHost): Promise<void> {
    const operator = operatorName();
    const { link, close } = openLink(this.registry.bus.forHost(name), operator);
    try {
      const made = await link.call(LAB, labApi.made, undefined);
      if (made === '') {
        const { error } = await makeHost(link, spec, readMachine(spec.machineFile));
        if (error !== '') throw new PlanRefused(`host ${name}: ${error}`);
      } else if (made !== spec.machine)
        throw new PlanRefused(`host ${name} was made of machine ${made}. Give the new one another name.`);
      // The host forgets who made it.
      await link.call(LAB, labApi.endClient, { client: clientAddress(operator) });
    } finally {
      close();
    }
  }

  status(): Promise<LabStatus> {
    return statusOf(this);
  }

  /** Ends all processes in order; journals stay. */
  async end(): Promise<void> {
    if (this.ending) return;
    this.ending = true;
    await this.last;
    this.desk.close();
    await Promise.all([...this.instances.values()].map((instance) => instance.stop()));
    await this.registry.stop();
    await this.server?.stop();
  }
}

/** Each link has a name of its own: what another has asked is not taken for its question. */
const operatorName = (): string => `operator-${randomBytes(8).toString('hex')}`;

/** The lab's own server asks for keys; another one is told by its URL who is there. */
function startInstance(
  plan: LabPlan,
  instance: string,
  hosts: number,
  nats: string,
  services: readonly string[],
): Promise<Instance> {
  const keys = plan.nats === 'auto' ? keysOf(plan) : undefined;
  const config = { ...configOf(plan, instance, hosts, nats), keyFile: keys?.fileOf(OPERATOR_KEY) };
  return Instance.start(config, services, (service) => keys?.fileOf(serviceKey(instance, service)));
}

function configOf(plan: LabPlan, instance: string, hosts: number, nats: string): ShellConfig {
  const { tenant, name, durability } = plan;
  const data = join(plan.data, 'instances', instance);
  return { tenant, lab: name, host: instance, nats, data, durability, record: false, hosts: hosts + 1 };
}

const journalsOf = ({ data, tenant, name }: LabPlan, instance: string, host: string): string =>
  join(data, 'instances', instance, tenant, name, host);

/** Also those that were taken out of the plan: they may still have journals. */
const instanceNames = (data: string): string[] => readdirSync(join(data, 'instances'));
