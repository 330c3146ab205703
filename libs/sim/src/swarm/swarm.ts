/**
 * A swarm: programs of which everything is known next to such that call anything, on a host in trouble; then a healed host,
 * which must come to its end and be clean.
 *
 * Words: *only* names the faults that may happen, as an earlier run of the seed told them.
 * Rule: same seed, same faults: same run, to the bit.
 */
import { LAB, labApi } from '@vfiolab/core';
import { stateHash } from '@vfiolab/host';
import { OPERATOR } from '@vfiolab/scenario';
import { Chance } from '../hunt/chance.js';
import { SyncClient } from '../hunt/sync-client.js';
import { drawOptions, type SimOptions } from '../options.js';
import { SimHost } from '../sim-host.js';
import type { Act } from './act.js';
import { SwarmClient } from './client.js';
import { Monitor, type MonitorOptions } from './monitor.js';
import { type Around, SwarmProgram } from './program.js';
import { type Pace, steady } from './steady.js';
import { SWARM_PLACES, type SwarmPlace, type Template, templateOf } from './template.js';
import { Wild } from './wild.js';

/** What is going on, and for how long. */
export interface Plan extends Pace {
  readonly options: SimOptions;
  /** Programs at one time, and in all. */
  readonly atOnce: number;
  readonly programs: number;
  /** No program begins, and trouble is over, after so much virtual time. */
  readonly troubleMs: number;
}

export const planOf = (seed: number): Plan => ({
  options: drawOptions(seed),
  ...{ atOnce: 3, programs: 4, sessions: 2, restMs: 0, troubleMs: 20_000 },
});

export interface SwarmOptions {
  readonly only?: ReadonlySet<string>;
  /** How closely to look; left out: as closely as is cheap. */
  readonly monitor?: MonitorOptions;
  /** Left out: that of the seed. */
  readonly plan?: Plan;
  /** Told as virtual time goes by, ms. */
  readonly onTime?: (ms: number) => void;
}

export interface SwarmRun {
  readonly seed: number;
  readonly place: SwarmPlace;
  readonly options: SimOptions;
  readonly findings: readonly string[];
  /** What went wrong on purpose, in order. */
  readonly faults: readonly string[];
  readonly counts: Readonly<Record<string, number>>;
  readonly messages: number;
  readonly virtualSeconds: number;
  /** State and journal of every service at the end. */
  readonly hashes: readonly string[];
}

/** Looking at all messages takes long: one seed in eight is looked at so. */
const monitorOf = (seed: number): MonitorOptions => ({
  messages: seed % 8 === 0,
  turnsPerCheck: 16,
  quietPerCheck: 32,
});
/** After every turn, and at every quiet moment. */
export const CLOSELY: MonitorOptions = { messages: true, turnsPerCheck: 1, quietPerCheck: 1 };
/** Everything must end within so much virtual time when the trouble is over. */
const PATIENCE_MS = 600_000;
const FORGET_MS = 60_000;
/** Between two looks at whether the host has come to rest. */
const LOOK_MS = 100;

const turn = <T>(from: readonly T[], n: number): T => from[n % from.length]!;

export async function swarm(seed: number, options: SwarmOptions = {}): Promise<SwarmRun> {
  const template = await templateOf(turn(SWARM_PLACES, seed));
  return new Swarm(seed, template, options).run();
}

class Swarm {
  private readonly host: SimHost;
  private readonly monitor: Monitor;
  private readonly reaper: SyncClient;
  private readonly counts = { calls: 0, refused: 0, foretold: 0, dma: 0, programs: 0 };
  private readonly around: Around;
  private readonly plan: Plan;
  private readonly onTime: ((ms: number) => void) | undefined;
  private running = 0;
  private ending = 0;

  constructor(
    private readonly seed: number,
    private readonly template: Template,
    { only, monitor = monitorOf(seed), plan = planOf(seed), onTime }: SwarmOptions,
  ) {
    this.plan = plan;
    this.onTime = onTime;
    const { journals, nodes, place } = template;
    this.host = new SimHost(seed, plan.options, { journals, ...(only && { only }) });
    this.monitor = new Monitor(this.host, monitor);
    this.reaper = new SyncClient(this.host, `${OPERATOR}-of-swarm`);
    this.around = {
      nodes,
      profile: place.profile,
      over: () => this.host.agenda.now > plan.troubleMs,
      find: (what) => this.monitor.find(what),
      count: (what) => void this.counts[what]++,
    };
  }

  run(): SwarmRun {
    try {
      for (let i = 0; i < this.plan.atOnce; i++) this.start();
      this.until('the trouble', () => this.over || this.host.agenda.now > this.plan.troubleMs);
      this.host.network.healed = true;
      this.until('the programs', () => this.over);
      this.settle();
      this.monitor.judgeRest();
    } catch (e) {
      this.monitor.find(`stopped: ${(e as Error).stack ?? (e as Error).message}`);
    }
    return this.report();
  }

  private get over(): boolean {
    return this.running === 0 && this.ending === 0;
  }

  private start(): void {
    const n = this.counts.programs++;
    this.running++;
    // Each program has a chance of its own, drawn by its number: how others fare does not change it.
    const chance = new Chance(Math.imul(this.seed, 0x9e3779b1) + n);
    const client = new SwarmClient(this.host, `program${n}`, () => this.ended(client));
    const p = new SwarmProgram(this.around, client, chance, n);
    client.run(n % 2 === 0 ? steady(p, this.plan) : wildly(p, this.plan));
  }

  /** The lab hears of it, and another one may begin. */
  private ended({ address }: SwarmClient): void {
    // Late answers are still sent to it for a while.
    this.host.agenda.after(FORGET_MS, () => {
      this.monitor.forget(address);
      this.host.network.forget(address);
    });
    this.running--;
    this.ending++;
    this.reaper.send(LAB, labApi.endClient, { client: address }, () => void this.ending--);
    const { programs, troubleMs } = this.plan;
    if (this.counts.programs < programs && this.host.agenda.now < troubleMs) this.start();
  }

  private until(what: string, done: () => boolean): void {
    const { host } = this;
    const patience = Math.max(host.agenda.now, this.plan.troubleMs) + PATIENCE_MS;
    while (!done()) {
      if (!host.agenda.step() || host.agenda.now > patience)
        throw new Error(`Q: no end of ${what} after ${PATIENCE_MS} ms: ${this.underWay()}`);
      this.onTime?.(host.agenda.now);
      if (host.failures.length > 0) throw new Error(host.failures[0]);
    }
  }

  /** Until nothing is under way anywhere. */
  private settle(): void {
    let rest = false;
    const look = (): void => {
      rest = !this.host.busy;
      if (!rest) this.host.agenda.after(LOOK_MS, look);
    };
    this.host.agenda.after(LOOK_MS, look);
    this.until('what is under way', () => rest);
  }

  private underWay(): string {
    const { host } = this;
    const each = host.addresses().flatMap((address) => {
      const actor = host.actor(address);
      if (actor?.state !== 'serving' || actor.readOnly) return [`${address} is ${actor?.state ?? 'down'}`];
      return actor.machine.running().map(({ name }) => `${address}: ${name}`);
    });
    return each.join(', ') || 'nothing';
  }

  private report(): SwarmRun {
    const { host, monitor, counts, template, seed } = this;
    const hashes = host.addresses().map((address) => {
      const machine = host.actor(address)?.machine;
      return machine ? `${address} ${stateHash(machine)} ${host.journal(address).head().hash}` : `${address} is down`;
    });
    return {
      seed,
      place: template.place,
      options: host.options,
      findings: monitor.findings,
      faults: host.faults.happened,
      counts: { ...counts, crashes: host.crashes, checks: monitor.checks },
      messages: host.network.figures.sent,
      virtualSeconds: host.agenda.now / 1000,
      hashes,
    };
  }
}

function* wildly(p: SwarmProgram, pace: Pace): Act<void> {
  yield* p.begin();
  const wild = new Wild(p);
  p.client.run(wild.dma());
  yield* wild.run(pace);
}
