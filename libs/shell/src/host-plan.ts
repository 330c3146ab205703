/**
 * What a fault plan does to the actors of one host in a process.
 *
 * Rule: the edge decides, here it happens. Who is killed says nothing from that moment on, and comes back from its journal.
 */
import { type Actor, type Address, FaultEdge, type JournalPort, serviceOf } from '@vfiolab/core';
import type { Bus } from './bus.js';
import type { FaultStore } from './fault-store.js';
import { FullDisk, Troubles } from './troubles.js';

export interface PlanOptions {
  readonly bus: Bus;
  readonly actors: readonly Address[];
  readonly families?: readonly string[];
  readonly onFailed: (address: Address, error: Error) => void;
  /** Where a fault plan is kept, so that it goes on after a crash; left out: in memory. */
  readonly faults?: FaultStore;
  /** How a fault plan kills; left out: as `kill`, and they are revived afterwards. `never`: they would come back empty. */
  readonly crash?: ((target: Address, downMs: number) => void) | 'never';
}

/** The actors that it happens to. */
export interface Planned {
  actor(address: Address): Actor | undefined;
  states(): { address: Address }[];
  kill(address: Address): void;
  revive(address: Address): Promise<void>;
}

const LOOK_MS = 5;

export class HostPlan {
  readonly edge: FaultEdge;
  private readonly troubles = new Troubles((to, from, frame) => this.hand(to, from, frame));
  /** Being killed. */
  private readonly dying = new Set<Actor>();
  /** Killed, and on their way back. */
  private readonly mending = new Set<Promise<void>>();
  private stopping = false;

  constructor(
    private readonly host: Planned,
    private readonly options: PlanOptions,
    now: () => number,
  ) {
    const { crash = (target, downMs) => this.crash(target, downMs), families = [], actors, faults } = options;
    this.edge = new FaultEdge({
      now,
      after: (ms, run) => this.after(ms, run),
      deliver: (from, to, frame) => this.hand(to, from, frame),
      carry: (from, to, frame) => options.bus.send(from, to, frame),
      knows: (actor, from, id) => host.actor(actor)?.knows(from, id) ?? false,
      authority: (actor) => this.authority(actor),
      serves: (target) => families.includes(serviceOf(target)) || actors.includes(target),
      crash: crash === 'never' ? undefined : crash,
      trouble: (what, target, on) => this.troubles.set(what, target, on),
      changed: () => faults?.save(this.edge.state()),
    });
  }

  /** A frame for an actor that can hear it. */
  arrives(actor: Actor, from: Address, frame: Uint8Array): void {
    if (this.edge.arrives(from, actor.address, frame)) this.hand(actor.address, from, frame);
  }

  private hand(to: Address, from: Address, frame: Uint8Array): void {
    if (!this.troubles.keepsWaiting(to, from, frame)) this.host.actor(to)?.receive(from, frame);
  }

  leaves(actor: Actor | undefined, from: Address, to: Address, frame: Uint8Array): void {
    if (actor && this.dying.has(actor)) return;
    if (this.edge.leaves(from, to, frame)) this.options.bus.send(from, to, frame);
  }

  onDisk(address: Address, journal: JournalPort): JournalPort {
    return new FullDisk(journal, () => this.troubles.has('fill-disk', address));
  }

  isPaused(address: Address): boolean {
    return this.troubles.has('pause', address);
  }

  private authority(address: Address): { clock: number; epoch: number } | undefined {
    const actor = this.host.actor(address);
    return actor?.state === 'serving' ? { clock: actor.machine.clock, epoch: actor.machine.epoch } : undefined;
  }

  private after(ms: number, run: () => void): void {
    setTimeout(() => {
      if (!this.stopping) run();
    }, ms).unref();
  }

  /** Kills a service, or one device, at once as seen from outside, and brings it back. */
  private crash(target: Address, downMs: number): void {
    for (const { address } of this.host.states()) {
      const actor = this.host.actor(address);
      if ((address !== target && serviceOf(address) !== target) || !actor || this.dying.has(actor)) continue;
      this.dying.add(actor);
      const mended = this.killAndRevive(actor, downMs).catch((e: unknown) =>
        this.options.onFailed(address, e as Error),
      );
      this.mending.add(mended);
      void mended.then(() => this.mending.delete(mended));
    }
  }

  private async killAndRevive(actor: Actor, downMs: number): Promise<void> {
    const { address } = actor;
    // Not in the middle of the actor's own turn.
    await new Promise((resolve) => setImmediate(resolve));
    this.dying.delete(actor);
    // It may have been killed, and even come back, by other hands.
    if (this.host.actor(address) !== actor) return;
    this.host.kill(address);
    await new Promise((resolve) => setTimeout(resolve, downMs));
    if (this.stopping) return;
    await this.host.revive(address);
    // It may be killed again before it serves.
    while (this.host.actor(address)?.state === 'starting') await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }

  /** Resolves when everybody whom the plan has killed is back. */
  async mended(): Promise<void> {
    await Promise.all(this.mending);
  }

  /** Nothing happens any more. */
  stop(): void {
    this.stopping = true;
  }
}
