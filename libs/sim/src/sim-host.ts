/**
 * One host in virtual time: its actors, their journals, and what happens to them.
 *
 * Words: a *crash* drops an actor with all it had not journaled; after a while a new instance recovers from the journal. A
 * *paused* actor does nothing, and what is for it waits; a *slow* disk takes its time for each record.
 * Rule: everything that happens is a function of the seed and the scenario.
 */
import { Actor, type Address, DEFAULT_LIMITS, type FaultEdge, isClient, JournalFull, serviceOf } from '@vfiolab/core';
import { disagreements, makeCore, SERVICES, unpinnedEntries, wrongOwners } from '@vfiolab/host';
import { Agenda } from './agenda.js';
import { Dice } from './dice.js';
import { CRASHED, Crashed, CrashPoints, type PlannedCrash } from './faults/crash-points.js';
import { Faults } from './faults/faults.js';
import { drawWindows, type Window } from './faults/windows.js';
import { Network } from './network.js';
import type { SimOptions } from './options.js';
import { begin, emptyPlace, end, type Place } from './place.js';
import { planOf } from './plan.js';
import type { SimJournal } from './sim-journal.js';
import { Work } from './work.js';

/** Virtual time begins here, in ms since the epoch: a fixed day, so that runs are alike. */
const EPOCH_MS = 1_767_225_600_000;
const TICK_MS = 25;
const ENTROPY = 30;
/** How long a record takes on a slow disk, ms. */
const SLOW_MS = 7;
/** A host without power comes back after so many ms at least. */
const POWER_MS = 50;

/** Something to be done when a frame passes: used by crash plans of scenarios. */
export type Watcher = (from: Address, to: Address, frame: Uint8Array, when: 'arriving' | 'leaving') => boolean;

export interface SimHostParts {
  /** The faults that may happen; left out: all that are drawn. */
  readonly only?: ReadonlySet<string>;
  /** What journals hold at the beginning, by address: a host that has been booted before. */
  readonly journals?: ReadonlyMap<Address, () => SimJournal>;
}

export class SimHost {
  readonly agenda = new Agenda();
  readonly dice: Dice;
  readonly faults: Faults;
  readonly network: Network;
  readonly work: Work | undefined;
  /** What a user's plan does to the host. */
  readonly plan: FaultEdge;
  crashes = 0;
  /** Why a service stopped for good; a finding. */
  readonly failures: string[] = [];
  private readonly places = new Map<Address, Place>();
  private readonly plans = new Map<Address, PlannedCrash>();
  private fullDisk: Omit<PlannedCrash, 'point'> | undefined;
  private readonly clients = new Map<Address, (from: Address, frame: Uint8Array) => void>();
  private readonly watchers = new Set<Watcher>();
  /** Told after every turn of an actor. */
  onTurn: ((address: Address) => void) | undefined;
  /** Told of every frame that an actor says, as it says it. */
  onSaid: ((from: Actor, to: Address, frame: Uint8Array) => void) | undefined;
  private entropyDraws = 0;
  private touched = true;
  /** How far the wall clock has been set, ms. */
  private clockSet = 0;

  constructor(
    seed: number,
    readonly options: SimOptions,
    private readonly parts: SimHostParts = {},
  ) {
    this.dice = new Dice(seed);
    this.faults = new Faults(this.dice, parts.only);
    this.work = options.costs && new Work(options.costs, () => this.agenda.now);
    this.network = new Network(this.agenda, this.faults, options, (from, to, frame) => this.arrive(from, to, frame));
    const deliver = (from: Address, to: Address, frame: Uint8Array): void => this.handOver(from, to, frame);
    this.plan = planOf(this, { places: this.places, deliver });
    for (const service of SERVICES) this.place(service);
    for (const address of parts.journals?.keys() ?? []) this.place(address);
    for (const window of drawWindows(this.dice, options)) this.agenda.after(window.at, () => this.open(window));
    this.tick();
  }

  /** A program has something to go on with. */
  touch(): void {
    this.touched = true;
  }

  takeTouched(): boolean {
    const was = this.touched;
    this.touched = false;
    return was;
  }

  /** The wall clock, ms since the epoch. */
  now(): number {
    return EPOCH_MS + this.clockSet + Math.floor(this.agenda.now);
  }

  attachClient(address: Address, receive: (from: Address, frame: Uint8Array) => void): void {
    this.clients.set(address, receive);
  }

  detachClient(address: Address): void {
    this.clients.delete(address);
  }

  watch(watcher: Watcher): () => void {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  }

  addresses(): Address[] {
    return [...this.places.keys()].sort();
  }

  actor(address: Address): Actor | undefined {
    return this.places.get(address)?.actor;
  }

  journal(address: Address): SimJournal {
    return this.places.get(address)!.journal;
  }

  /** Where the service can be made to crash, and how often it came there. */
  crashPoints(address: Address): CrashPoints {
    return this.places.get(address)!.points;
  }

  /** Also for a service that is not there yet. */
  planCrash(plan: PlannedCrash): void {
    this.plans.set(plan.address, plan);
    const p = this.places.get(plan.address);
    if (p) p.points.plan = plan;
  }

  /** The service's disk is full from its n-th write on, counted from 1, for `downMs`. Also for one that is not there yet. */
  planFullDisk(plan: Omit<PlannedCrash, 'point'>): void {
    this.fullDisk = plan;
  }

  /** Something that was planned has not happened. */
  get planned(): boolean {
    const waits = [...this.plans.values()].some(({ address }) => {
      const p = this.places.get(address);
      return !p || p.points.plan !== undefined;
    });
    return waits || this.fullDisk !== undefined;
  }

  /** The place of an address; devices get theirs, and an actor, with their first frame. */
  private place(address: Address): Place | undefined {
    let p = this.places.get(address);
    if (p || !makeCore(address)) return p;
    const points = new CrashPoints(address, this.faults, this.options, () => this.crashes < this.options.maxCrashes);
    const place = (p = emptyPlace(points, this.parts.journals?.get(address)?.()));
    points.plan = this.plans.get(address);
    p.journal.onAppend = (when, body) => this.writes(address, place, when, body);
    this.places.set(address, p);
    this.startInstance(address, p);
    return p;
  }

  private startInstance(address: Address, p: Place): void {
    const instance = ++p.instances;
    const actor: Actor = new Actor(
      address,
      makeCore(address)!,
      {
        now: () => this.now(),
        entropy: (n) => this.dice.bytesOf(ENTROPY, this.entropyDraws++, n),
        send: (to, frame) => this.leave(actor, p, to, frame),
        journal: p.journal,
        defer: (turn) => this.agenda.after(Math.max(0, p.busyUntil - this.agenda.now), () => this.turn(p, actor, turn)),
        failed: (error) => {
          if (!(error instanceof Crashed)) this.failures.push(`${address}: ${error.stack ?? error.message}`);
        },
      },
      { ...DEFAULT_LIMITS, snapshotEvery: this.options.snapshotEvery },
    );
    p.actor = actor;
    try {
      actor.start(`${address} ${instance}`);
    } catch (e) {
      this.failures.push(`${address}: ${(e as Error).stack}`);
    }
  }

  private turn(p: Place, actor: Actor, turn: () => void): void {
    if (p.waiting) return void p.waiting.push(() => this.turn(p, actor, turn));
    turn();
    this.onTurn?.(actor.address);
  }

  private writes(address: Address, p: Place, when: 'before' | 'after', body: Uint8Array): void {
    if (when === 'before') {
      this.fillIf(address, p);
      this.crashIf(address, p.points.writing('before writing', body));
      const torn = p.points.writing('while writing', body);
      if (torn !== undefined) p.journal.tear(body);
      this.crashIf(address, torn);
      return;
    }
    this.crashIf(address, p.points.writing('after writing', body));
    if (p.slow > 0) p.busyUntil = Math.max(p.busyUntil, this.agenda.now) + SLOW_MS;
  }

  private fillIf(address: Address, p: Place): void {
    const plan = this.fullDisk;
    if (plan?.address !== address || p.points.passed['before writing'] !== plan.nth - 1) return;
    this.fullDisk = undefined;
    begin(p, 'full-disk');
    this.agenda.after(plan.downMs, () => end(p, 'full-disk'));
    throw new JournalFull('the simulated disk is full');
  }

  private crashIf(address: Address, downMs: number | undefined): void {
    if (downMs === undefined) return;
    this.crash(address, downMs);
    throw CRASHED;
  }

  private leave(actor: Actor, p: Place, to: Address, frame: Uint8Array): void {
    const { address } = actor;
    this.onSaid?.(actor, to, frame);
    this.crashIf(address, p.points.carrying('before sending', address, to, frame));
    for (const watcher of this.watchers)
      if (watcher(address, to, frame, 'leaving')) {
        if (p.actor !== actor) throw CRASHED;
        return;
      }
    if (!this.plan.leaves(address, to, frame)) {
      if (p.actor !== actor) throw CRASHED;
      return;
    }
    const work = this.work?.leaves(address, to, frame) ?? 0;
    this.network.send(address, to, frame, work + Math.max(0, p.busyUntil - this.agenda.now));
    this.crashIf(address, p.points.carrying('after sending', address, to, frame));
  }

  clientSends(from: Address, to: Address, frame: Uint8Array): void {
    this.network.send(from, to, frame);
  }

  private arrive(from: Address, to: Address, frame: Uint8Array): void {
    if (isClient(to)) {
      for (const watcher of this.watchers) if (watcher(from, to, frame, 'arriving')) return;
      this.touch();
      return this.clients.get(to)?.(from, frame);
    }
    const p = this.place(to);
    if (p?.waiting) return void p.waiting.push(() => this.arrive(from, to, frame));
    for (const watcher of this.watchers) if (watcher(from, to, frame, 'arriving')) return;
    if (p && this.plan.arrives(from, to, frame)) this.handOver(from, to, frame);
  }

  /** Gives an actor what has come for it, when the actor goes on. */
  private handOver(from: Address, to: Address, frame: Uint8Array): void {
    const p = this.places.get(to)!;
    if (p.waiting) return void p.waiting.push(() => this.handOver(from, to, frame));
    this.work?.arrives(from, to, frame);
    p.actor?.receive(from, frame);
    const downMs = p.points.carrying('taking', from, to, frame);
    if (downMs !== undefined) this.crash(to, downMs);
  }

  /** Kills an actor now; it comes back from its journal after `downMs`. */
  crash(address: Address, downMs: number): void {
    const p = this.places.get(address)!;
    if (!p.actor) return;
    this.crashes++;
    this.stop(p);
    this.agenda.after(downMs, () => this.startInstance(address, p));
  }

  private stop(p: Place): void {
    p.actor!.halt();
    p.actor = undefined;
    // What waited for a stopped process went with it.
    if (p.waiting) p.waiting = [];
  }

  /** The host loses power: all its services die at the same moment. */
  private losePower(downMs: number): void {
    for (const [address, p] of this.places) if (p.actor) this.crash(address, POWER_MS + downMs);
  }

  private open({ kind, service, link, ms, name }: Window): void {
    if (!this.faults.happens(name)) return;
    if (kind === 'cut' || kind === 'clog') return this.network.disturb(link, kind, ms);
    if (kind === 'power') return this.losePower(ms);
    if (kind === 'jump') return void (this.clockSet += ms);
    const hit = [...this.places].filter(([address]) => serviceOf(address) === service).map(([, p]) => p);
    for (const p of hit) begin(p, kind);
    this.agenda.after(ms, () => {
      for (const p of hit) end(p, kind);
    });
  }

  private tick(): void {
    for (const p of this.places.values()) if (p.actor && !p.waiting) this.tickActor(p.actor);
    this.agenda.after(TICK_MS, () => this.tick());
  }

  private tickActor(actor: Actor): void {
    try {
      actor.tick();
    } catch (e) {
      if (!(e instanceof Crashed)) throw e;
    }
  }

  /** Broken invariants of every service, and, when nothing is under way, what they disagree about. In words. */
  broken(): string[] {
    const each = this.addresses().flatMap((address) => this.actor(address)?.machine.core.check() ?? []);
    return this.idle ? [...each, ...disagreements((address) => this.actor(address)?.machine.core)] : each;
  }

  /** No operation is in flight anywhere. */
  get idle(): boolean {
    for (const { actor } of this.places.values()) if (!actor?.machine.idle) return false;
    return true;
  }

  /** What services disagree about, owners of groups too, when the host is idle and all was done by system calls. */
  disagreements(): string[] {
    if (!this.idle) return [];
    const coreOf = (address: Address) => this.actor(address)?.machine.core;
    return [...disagreements(coreOf), ...wrongOwners(coreOf)];
  }

  /** What of memory a device reaches that is not pinned; empty while a service is away. */
  unpinned(): string[] {
    return unpinnedEntries((address) => this.actor(address)?.machine.core);
  }

  /** Frames, turns and restarts that are still to come, apart from ticks. */
  get busy(): boolean {
    return [...this.places.values()].some(
      (p) => p.waiting || !p.actor || p.actor.state !== 'serving' || p.actor.readOnly || !p.actor.machine.idle,
    );
  }
}
