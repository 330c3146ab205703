/**
 * The actors of one process: started, ticked, killed, revived and stopped here.
 *
 * Words: a *slot* is the place of one address: its actor with its journal, or the reason why there is none. A *family* is
 * a service with many actors (`device:<bdf>`), each made when somebody first writes to it.
 * Rule: an address has at most one actor at a time, and an actor that failed or was killed comes back only by `revive`.
 */
import {
  Actor,
  type ActorLimits,
  type Address,
  type Core,
  DEFAULT_LIMITS,
  isAddress,
  type JournalPort,
  LAB,
  serviceOf,
} from '@vfiolab/core';
import type { Bus, Detach } from './bus.js';
import { EntropyPool } from './entropy.js';
import { HostPlan, type PlanOptions } from './host-plan.js';
import { TurnScheduler } from './turn-scheduler.js';

export interface ActorHostOptions extends PlanOptions {
  readonly bus: Bus;
  /** Actors that run from the start: those with a name of their own, and those whose journal exists. */
  readonly actors: readonly Address[];
  /** Services whose other actors are made when a frame for them arrives. */
  readonly families?: readonly string[];
  /** Undefined: there is no such actor, and frames for it are dropped. */
  readonly cores: (address: Address) => Core | undefined;
  readonly journals: (address: Address) => JournalPort | Promise<JournalPort>;
  /** An actor has stopped by itself; its journal is closed. */
  readonly onFailed: (address: Address, error: Error) => void;
  /** An actor has no room in its journal, and waits; undefined: it goes on. */
  readonly onReadOnly?: (address: Address, why: Error | undefined) => void;
  readonly scheduler?: TurnScheduler;
  readonly limits?: ActorLimits;
  /** Milliseconds since the epoch; default the system's clock. */
  readonly now?: () => number;
}

/** How often actors look for requests to send again, ms. */
export const TICK_MS = 20;
/** A first repetition comes early, as most losses are those of a restart; a journal is kept short by snapshots. */
export const HOST_LIMITS: ActorLimits = { ...DEFAULT_LIMITS, retryMs: 60, snapshotEvery: 100_000 };
/** Actors that one host has in a process; frames for more are dropped. */
export const MAX_ACTORS = 4096;
/** Frames kept for an actor that is not serving yet. */
export const MAX_EARLY = 256;

export type SlotState = Actor['state'] | 'opening' | 'killed' | 'read-only';

interface Slot {
  state: 'opening' | 'running' | 'killed' | 'failed';
  actor: Actor | undefined;
  journal: JournalPort | undefined;
  early: { from: Address; frame: Uint8Array }[];
  readonly waiting: (() => void)[];
}

export class ActorHost {
  /** Frames for which there was no actor, or no room until it serves. */
  dropped = 0;
  /** What a user's plan does to these actors. */
  readonly plan: HostPlan;
  private readonly slots = new Map<Address, Slot>();
  private readonly scheduler: TurnScheduler;
  private readonly entropy = new EntropyPool();
  private readonly now: () => number;
  private readonly detach: Detach[] = [];
  private timer: NodeJS.Timeout | undefined;
  private stopping = false;
  /** Journals that are being opened. */
  private readonly opening = new Set<Promise<void>>();

  constructor(private readonly options: ActorHostOptions) {
    this.scheduler = options.scheduler ?? new TurnScheduler();
    this.now = options.now ?? Date.now;
    this.plan = new HostPlan(this, options, this.now);
  }

  /** Recovers every named actor from its journal and lets it ask for authority; rejects when one cannot be recovered. */
  async start(): Promise<void> {
    const { bus, actors, families = [], faults } = this.options;
    faults?.restore(this.plan.edge);
    for (const service of families)
      this.detach.push(bus.attachService(service, (to, from, frame) => this.toFamily(to, from, frame)));
    for (const address of actors)
      if (!families.includes(serviceOf(address)))
        this.detach.push(bus.attach(address, (from, frame) => this.deliver(this.slots.get(address), from, frame)));
    this.timer = setInterval(() => this.tick(), TICK_MS);
    this.timer.unref();
    await Promise.all(actors.map((address) => this.open(address)));
  }

  /** Resolves when the actor serves; never when it cannot. */
  serving(address: Address): Promise<void> {
    const slot = this.slots.get(address);
    if (!slot) return Promise.reject(new Error(`${address}: this process has no such actor`));
    if (slot.actor?.state === 'serving') return Promise.resolve();
    return new Promise((resolve) => slot.waiting.push(resolve));
  }

  actor(address: Address): Actor | undefined {
    return this.slots.get(address)?.actor;
  }

  /** Every address with its state, in the order in which they came up. */
  states(): { address: Address; state: SlotState }[] {
    return [...this.slots].map(([address, slot]) => ({ address, state: slotState(slot) }));
  }

  private toFamily(to: Address, from: Address, frame: Uint8Array): void {
    let slot = this.slots.get(to);
    if (!slot) {
      if (this.stopping || this.slots.size >= MAX_ACTORS || !isAddress(to)) return void this.dropped++;
      this.open(to).catch((e: unknown) => this.options.onFailed(to, e as Error));
      slot = this.slots.get(to);
    }
    this.deliver(slot, from, frame);
  }

  private deliver(slot: Slot | undefined, from: Address, frame: Uint8Array): void {
    const serving = slot?.actor?.state === 'serving';
    // While it starts, an actor hears the lab alone.
    if (slot?.state === 'running' && (serving || from === LAB)) this.plan.arrives(slot.actor!, from, frame);
    else if (slot && (slot.state === 'running' || slot.state === 'opening') && slot.early.length < MAX_EARLY)
      slot.early.push({ from, frame });
    else this.dropped++;
  }

  private async open(address: Address): Promise<void> {
    const core = this.options.cores(address);
    if (!core) return void this.dropped++;
    const slot: Slot = { state: 'opening', actor: undefined, journal: undefined, early: [], waiting: [] };
    this.slots.set(address, slot);
    const opening = this.run(slot, address, core);
    this.opening.add(opening);
    try {
      await opening;
    } catch (e) {
      slot.state = 'failed';
      slot.journal?.close();
      throw e;
    } finally {
      this.opening.delete(opening);
    }
  }

  private async run(slot: Slot, address: Address, core: Core): Promise<void> {
    const journal = await this.options.journals(address);
    // Killed, or the host stopped, while the file was being opened.
    if (slot.state !== 'opening') return journal.close();
    slot.journal = journal;
    const ports = {
      now: this.now,
      entropy: this.entropy.take,
      send: (to: Address, frame: Uint8Array) => this.plan.leaves(slot.actor, address, to, frame),
      journal: this.plan.onDisk(address, journal),
      defer: this.scheduler.defer,
      failed: (error: Error) => this.failed(slot, address, error),
      serving: () => this.isServing(slot),
      readOnly: (why: Error | undefined) => this.options.onReadOnly?.(address, why),
    };
    slot.actor = new Actor(address, core, ports, this.options.limits ?? HOST_LIMITS);
    slot.actor.start(Buffer.from(this.entropy.take(16)).toString('hex'));
    slot.state = 'running';
  }

  private isServing(slot: Slot): void {
    const { early } = slot;
    slot.early = [];
    for (const { from, frame } of early) this.plan.arrives(slot.actor!, from, frame);
    for (const resolve of slot.waiting.splice(0)) resolve();
  }

  private failed(slot: Slot, address: Address, error: Error): void {
    slot.state = 'failed';
    slot.early = [];
    slot.journal?.close();
    this.options.onFailed(address, error);
  }

  private tick(): void {
    for (const [address, { actor }] of this.slots) if (!this.plan.isPaused(address)) actor?.tick();
  }

  /** Drops an actor where it stands, as a crash would: only its journal is left. */
  kill(address: Address): void {
    const slot = this.slots.get(address);
    if (!slot || slot.state === 'killed') return;
    slot.actor?.halt();
    if (slot.state === 'running') slot.journal?.close();
    slot.state = 'killed';
    slot.actor = undefined;
    slot.early = [];
  }

  /** Recovers a killed or failed actor from its journal. */
  async revive(address: Address): Promise<void> {
    const slot = this.slots.get(address);
    if (slot && slot.state !== 'killed' && slot.state !== 'failed')
      throw new Error(`${address}: is running and cannot be revived`);
    await this.open(address);
  }

  /** Ends in order: turns that were due are finished, nothing new is taken, journals are closed. */
  async stop(): Promise<void> {
    if (this.stopping) return;
    this.stopping = true;
    this.plan.stop();
    for (const detach of this.detach.splice(0)) detach();
    clearInterval(this.timer);
    await new Promise((resolve) => setImmediate(resolve));
    for (const address of this.slots.keys()) this.kill(address);
    // A journal that was being opened is closed as soon as it is open.
    await Promise.allSettled(this.opening);
  }
}

function slotState({ state, actor }: Slot): SlotState {
  if (state !== 'running') return state;
  return actor!.readOnly ? 'read-only' : actor!.state;
}
