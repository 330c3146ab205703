/**
 * One host in virtual time: its actors, their journals, and their crashes.
 *
 * Words: a *crash* drops an actor with all it had not journaled; after a while a new instance recovers from the journal.
 * Rule: everything that happens is a function of the seed and the scenario.
 */
import {
  Actor,
  type Address,
  DEFAULT_LIMITS,
  isClient,
  type JournalPort,
  type JournalRecord,
  type Output,
  type Snapshot,
} from '@vfiolab/core';
import { disagreements, makeCore, SERVICES, wrongOwners } from '@vfiolab/host';
import { Agenda } from './agenda.js';
import { Dice } from './dice.js';
import { Network } from './network.js';
import type { SimOptions } from './options.js';
import { SimJournal } from './sim-journal.js';
import { Work } from './work.js';

/** Virtual time begins here, in ms since the epoch: a fixed day, so that runs are alike. */
const EPOCH_MS = 1_767_225_600_000;
const TICK_MS = 25;

interface Place {
  readonly journal: SimJournal;
  actor: Actor | undefined;
  instances: number;
  frames: number;
}

/** Something to be done when a frame passes: used by crash plans of scenarios. */
export type Watcher = (from: Address, to: Address, frame: Uint8Array, when: 'arriving' | 'leaving') => boolean;

/** A place in a turn of an actor where its process can end. */
export type Moment = 'before write' | 'after write' | 'before send' | 'after send';

/** Ends a turn where the actor's process ended. */
class Killed extends Error {}

export class SimHost {
  readonly agenda = new Agenda();
  readonly dice: Dice;
  readonly network: Network;
  readonly work: Work | undefined;
  crashes = 0;
  /** Why a service stopped for good; a finding. */
  readonly failures: string[] = [];
  private readonly places = new Map<Address, Place>();
  private readonly clients = new Map<Address, (from: Address, frame: Uint8Array) => void>();
  private readonly watchers = new Set<Watcher>();
  /** Asked at every moment of an actor: does it crash there? Answers for how many ms it is down; undefined: it goes on. */
  atMoment: ((address: Address, moment: Moment) => number | undefined) | undefined;
  /** Told after every turn of an actor. */
  onTurn: ((address: Address) => void) | undefined;
  private entropyDraws = 0;
  private touched = true;

  constructor(
    seed: number,
    readonly options: SimOptions,
  ) {
    this.dice = new Dice(seed);
    this.work = options.costs && new Work(options.costs, () => this.agenda.now);
    this.network = new Network(this.agenda, this.dice, options, (from, to, frame) => this.arrive(from, to, frame));
    for (const service of SERVICES) this.place(service);
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

  now(): number {
    return EPOCH_MS + Math.floor(this.agenda.now);
  }

  attachClient(address: Address, receive: (from: Address, frame: Uint8Array) => void): void {
    this.clients.set(address, receive);
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

  /** The place of an address; devices get theirs, and an actor, with their first frame. */
  private place(address: Address): Place | undefined {
    let p = this.places.get(address);
    if (p || !makeCore(address)) return p;
    p = { journal: new SimJournal(), actor: undefined, instances: 0, frames: 0 };
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
        entropy: (n) => this.dice.bytes(`entropy ${this.entropyDraws++}`, n),
        send: (to, frame) => {
          this.reach(address, 'before send');
          this.leave(address, to, frame);
          this.reach(address, 'after send');
        },
        journal: this.interruptible(address, p.journal),
        defer: (turn) => this.agenda.after(0, () => (turn(), this.onTurn?.(address))),
        failed: (error) => {
          if (!(error instanceof Killed)) this.failures.push(`${address}: ${error.stack ?? error.message}`);
        },
      },
      { ...DEFAULT_LIMITS, snapshotEvery: this.options.snapshotEvery },
    );
    p.actor = actor;
    actor.start(`${address} ${instance}`);
  }

  /** What is written is written as a whole or not at all. */
  private interruptible(address: Address, journal: SimJournal): JournalPort {
    const write = <A extends unknown[]>(put: (...args: A) => void) => {
      return (...args: A): void => {
        this.reach(address, 'before write');
        put(...args);
        this.reach(address, 'after write');
      };
    };
    return {
      load: () => journal.load(),
      head: () => journal.head(),
      close: () => journal.close(),
      append: write((record: JournalRecord, outputs: readonly Output[]) => journal.append(record, outputs)),
      saveSnapshot: write((snapshot: Snapshot) => journal.saveSnapshot(snapshot)),
    };
  }

  private reach(address: Address, moment: Moment): void {
    const downMs = this.atMoment?.(address, moment);
    if (downMs === undefined) return;
    this.crash(address, downMs);
    throw new Killed(`${address} ends ${moment}`);
  }

  private leave(from: Address, to: Address, frame: Uint8Array): void {
    for (const watcher of this.watchers) if (watcher(from, to, frame, 'leaving')) return;
    this.network.send(from, to, frame, this.work?.leaves(from, to, frame));
    this.mayCrash(from, 'sent');
  }

  clientSends(from: Address, to: Address, frame: Uint8Array): void {
    this.network.send(from, to, frame);
  }

  private arrive(from: Address, to: Address, frame: Uint8Array): void {
    for (const watcher of this.watchers) if (watcher(from, to, frame, 'arriving')) return;
    if (isClient(to)) {
      this.touch();
      return this.clients.get(to)?.(from, frame);
    }
    this.work?.arrives(from, to, frame);
    const p = this.place(to);
    p?.actor?.receive(from, frame);
    this.mayCrash(to, 'received');
  }

  private mayCrash(address: Address, when: string): void {
    const p = this.places.get(address);
    if (!p?.actor || this.network.healed || this.crashes >= this.options.maxCrashes) return;
    const key = `${address} ${when} ${p.frames++}`;
    if (this.dice.chance(`crash ${key}`, this.options.crash))
      this.crash(address, 1 + this.dice.unit(`down ${key}`) * this.options.downMs);
  }

  /** Kills an actor now; it comes back from its journal after `downMs`. */
  crash(address: Address, downMs: number): void {
    const p = this.places.get(address)!;
    if (!p.actor) return;
    this.crashes++;
    p.actor.halt();
    p.actor = undefined;
    this.agenda.after(downMs, () => this.startInstance(address, p));
  }

  private tick(): void {
    for (const { actor } of this.places.values()) {
      try {
        actor?.tick();
      } catch (e) {
        if (!(e instanceof Killed)) throw e;
      }
    }
    this.agenda.after(TICK_MS, () => this.tick());
  }

  /** Broken invariants of every service, and, when nothing is under way, what they disagree about. In words. */
  broken(): string[] {
    const each = this.addresses().flatMap((address) => this.actor(address)?.machine.core.check() ?? []);
    return this.idle ? [...each, ...disagreements((address) => this.actor(address)?.machine.core)] : each;
  }

  /** No operation is in flight anywhere. */
  get idle(): boolean {
    return [...this.places.values()].every(({ actor }) => actor?.machine.idle);
  }

  /** What services disagree about, owners of groups too, when the host is idle and all was done by system calls. */
  disagreements(): string[] {
    if (!this.idle) return [];
    const coreOf = (address: Address) => this.actor(address)?.machine.core;
    return [...disagreements(coreOf), ...wrongOwners(coreOf)];
  }

  /** Frames, turns and restarts that are still to come, apart from ticks. */
  get busy(): boolean {
    return [...this.places.values()].some((p) => !p.actor || p.actor.state !== 'serving' || !p.actor.machine.idle);
  }
}
