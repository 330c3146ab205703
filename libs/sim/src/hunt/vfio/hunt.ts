/**
 * Random programs on all of VFIO at once, while messages get lost and services crash.
 *
 * Words: a service is *quiet* when no operation is in flight at it, the host when none is anywhere.
 * Rule: after each turn of a service its invariants hold if it is quiet, and all services agree if the host is. When every
 * program has ended and nothing goes wrong any more, the host comes to rest, and nothing of anybody is left.
 */
import type { Process } from '@vfiolab/client';
import { type Address, IOMMU, PAGES } from '@vfiolab/core';
import { lostByMigration, stateHash } from '@vfiolab/host';
import { type KernelProfile, kernelProfiles } from '@vfiolab/uapi';
import type { SimHost } from '../../sim-host.js';
import { drawOptions, type SimOptions } from '../../options.js';
import { Chance } from '../chance.js';
import { Injector } from '../injector.js';
import { lostByRestart } from '../restart.js';
import { CONTAINER_MOVES } from './container-moves.js';
import { DEVICE_MOVES } from './device-moves.js';
import { clearFaults, drawBreaks, FAULT_MOVES } from './fault-moves.js';
import { handOver, HOST_MOVES } from './host-moves.js';
import { IOMMUFD_MOVES } from './iommufd-moves.js';
import { lookAtAll, MEMORY_MOVES } from './memory-moves.js';
import { choose, type Move } from './moves.js';
import type { Model } from './model.js';
import { openYard, type Place, PLACES, type Yard } from './places.js';
import { PROCESS_MOVES } from './process-moves.js';
import { SPAPR_MOVES } from './spapr-moves.js';
import { Dead, MAX_FAMILIES, Program } from './program.js';
import { Tally } from './tally.js';
import { Watch } from './watch.js';

const MOVES: readonly Move[] = [
  ...MEMORY_MOVES,
  ...CONTAINER_MOVES,
  ...SPAPR_MOVES,
  ...IOMMUFD_MOVES,
  ...DEVICE_MOVES,
  ...HOST_MOVES,
  ...PROCESS_MOVES,
  ...FAULT_MOVES,
];
const PROGRAMS = 3;
/** Programs at one time, and moves of each that was not forked. */
const MAX_RUNNING = 5;
const MOVES_EACH = 80;
/** Between two looks at whether nothing is under way any more, ms. */
const SETTLE_MS = 100;
/** Looks after which a host that does not come to rest is a finding. */
const MAX_LOOKS = 3000;
/** A service that is quiet is read back from its snapshot once in so many turns. */
const REREAD_EVERY = 150;
/** In so many moves one step is refused, one of the next so many. */
const REFUSE_EVERY = 8;
const MOST_STEPS = 25;

export interface VfioRun {
  readonly place: Place;
  readonly profile: KernelProfile;
  readonly faults: SimOptions;
  /** Services refuse each other once in a while. */
  readonly refuse: boolean;
  /** The host has little memory. */
  readonly poor: boolean;
  /** Devices have faults. */
  readonly breaks: boolean;
  readonly tally: Tally;
  readonly host: SimHost;
  /** State and journal of every service at the end. */
  readonly hashes: readonly string[];
}

const turn = <T>(from: readonly T[], n: number): T => from[n % from.length]!;

/** One run; the seed decides everything. */
export async function runVfio(seed: number): Promise<VfioRun> {
  const place = turn(PLACES, seed);
  const chance = new Chance(seed);
  const profile = turn(kernelProfiles, Math.floor(seed / PLACES.length) + seed);
  // A third of the seeds is for the order of things alone, or for steps that fail.
  const calm = chance.once(3);
  const faults = { ...drawOptions(calm ? 0 : seed + 1), ...(chance.once(2) ? { delayMs: 5 } : {}) };
  const refuse = calm && chance.once(2);
  const poor = chance.once(6);
  const breaks = drawBreaks(chance);
  const yard = await openYard(place, { profile, seed, faults, poor, breaks });
  const run = new Run(yard, chance, refuse);
  await run.go().catch((e: Error) => run.tally.find(`stopped: ${e.stack ?? e.message}`));
  const { host } = yard.host;
  const hashes = host.addresses().map((address) => {
    const machine = host.actor(address)?.machine;
    if (!machine) return `${address} is down`;
    return `${address} ${stateHash(machine)} ${host.journal(address).head().hash}`;
  });
  return { place, profile, faults, refuse, poor, breaks, tally: run.tally, host, hashes };
}

class Run {
  readonly tally = new Tally();
  readonly running: Program[] = [];
  /** All that their loops do. */
  private readonly loops: Promise<void>[] = [];
  private families = 0;
  private started = 0;
  private turns = 0;
  private injector: Injector | undefined;

  constructor(
    readonly yard: Yard,
    private readonly chance: Chance,
    private readonly refuse: boolean,
  ) {}

  private get host(): SimHost {
    return this.yard.host.host;
  }

  async go(): Promise<void> {
    this.host.onTurn = (address) => this.afterTurn(address);
    Watch.on(this.host, (what) => this.tally.find(`turn ${this.turns}: ${what}`));
    await this.prepare();
    if (this.refuse) this.injector = new Injector(this.host);
    await this.yard.host.together(async () => {
      for (let i = 0; i < PROGRAMS; i++) await this.start();
      // Forked programs add their loops to the list while it is waited for.
      for (let i = 0; i < this.loops.length; i++) await this.loops[i];
    });
    this.injector?.disarm();
    this.host.network.healed = true;
    await this.yard.host.run(clearFaults(this.yard).then(() => this.settle()));
    this.judgeRest();
  }

  /** Several functions wait on vfio-pci, and everything that has to be allowed is allowed. */
  private async prepare(): Promise<void> {
    const { host, names, exposed } = this.yard;
    const process = await host.process('setup');
    const setup = new Program(this, process, this.chance, MAX_FAMILIES, 1);
    await host.together(async () => {
      if (exposed) await process.sysfsWrite('/sys/module/vfio/parameters/enable_unsafe_noiommu_mode', '1');
      if (this.yard.place.machine === 'C-virtio')
        for (const module of ['vfio_iommu_type1', 'iommufd'])
          await process.sysfsWrite(`/sys/module/${module}/parameters/allow_unsafe_interrupts`, '1');
      for (const bdf of names) if (!this.chance.once(4)) await handOver(setup, bdf, 'vfio-pci');
      await process.exit();
    });
  }

  async start(parent?: Program): Promise<Program | undefined> {
    if (this.running.length >= MAX_RUNNING || this.families >= MAX_FAMILIES) return undefined;
    const process = await this.yard.host.process(`program${this.started++}`);
    const chance = new Chance(this.chance.bits());
    const threads = chance.once(3) ? 3 : 1;
    const program = new Program(this, process, chance, parent?.family ?? this.families++, threads);
    if (parent) {
      program.model = (await this.fork(parent, process)) ?? program.model;
    }
    this.running.push(program);
    this.loops.push(this.live(program, parent ? MOVES_EACH / 4 : MOVES_EACH));
    return program;
  }

  /** What the child remembers; undefined: it got nothing, or not all. A parent that is killed meanwhile leaves a child. */
  private async fork(parent: Program, child: Process): Promise<Model | undefined> {
    const model = parent.model.fork();
    try {
      return (await parent.process.fork(child)).ok ? model : undefined;
    } catch (e) {
      if (!parent.dead) throw e;
      return undefined;
    }
  }

  private async live(p: Program, moves: number): Promise<void> {
    try {
      const thread = async (): Promise<void> => {
        for (let i = 0; i < moves / p.threads; i++) await this.move(p);
      };
      await Promise.all(Array.from({ length: p.threads }, thread));
      await lookAtAll(p);
      if (p.chance.once(2)) for (const fd of p.process.openFds) await p.close(fd);
    } catch (e) {
      if (!(e instanceof Dead)) this.tally.find(`${p.process.name}: ${(e as Error).stack}`);
    }
    await p.end();
  }

  private async move(p: Program): Promise<void> {
    if (this.injector?.fired !== undefined) this.injector.disarm();
    if (this.chance.once(REFUSE_EVERY)) this.injector?.arm(1 + this.chance.below(MOST_STEPS));
    const move = choose(MOVES, p);
    this.tally.moved(move.name);
    await move.run(p);
  }

  /** Until nothing is in flight anywhere. */
  private async settle(): Promise<void> {
    for (let looks = 0; looks < MAX_LOOKS; looks++) {
      await this.yard.host.pause(SETTLE_MS);
      if (!this.host.busy) return;
    }
    const under = this.host.addresses().flatMap((address) => {
      const running = this.host.actor(address)?.machine.running() ?? [];
      return running.map(({ name }) => `${address}: ${name}`);
    });
    this.tally.find(`Q: everybody is gone, and under way is still ${under.join(', ')}`);
  }

  private afterTurn(address: Address): void {
    const { host } = this;
    const { machine } = host.actor(address) ?? {};
    if (address === PAGES || address === IOMMU) this.findAt('all', host.unpinned());
    if (!machine?.idle) return;
    this.turns++;
    this.findAt(address, machine.core.check());
    if (this.turns % REREAD_EVERY === 0)
      this.findAt(address, [...lostByRestart(address, machine.core), ...lostByMigration(machine.core)]);
    if (!host.idle) return;
    this.tally.quiet++;
    this.findAt('all', host.disagreements());
  }

  private findAt(where: string, broken: readonly string[]): void {
    for (const each of broken) this.tally.find(`turn ${this.turns}, ${where}: ${each}`);
  }

  /** Nothing is left of anybody, and a restart would lose nothing. */
  private judgeRest(): void {
    const { host } = this;
    for (const each of [...host.failures, ...host.broken(), ...host.disagreements()])
      this.tally.find(`at rest: ${each}`);
    for (const address of host.addresses()) {
      const { core } = host.actor(address)!.machine;
      for (const lost of lostByRestart(address, core)) this.tally.find(`at rest: ${lost}`);
      const left = Object.entries(core.figures()).filter(([, n]) => n !== 0);
      if (left.length > 0)
        this.tally.find(`I27: at rest ${address} still has ${left.map(([name, n]) => `${n} ${name}`).join(', ')}`);
    }
  }
}
