/**
 * Starts on the hosts of a cluster that wait for one another: for the runtime, for the locks of device sets, for memory's bandwidth.
 *
 * Rule: starts are given in the order of their times; each is worked out at once and never changes.
 */
import { type HostCosts, pinSeconds, type Pages } from './start-costs.js';

/** Seconds of one start, by what they went to. */
export interface Start {
  readonly launch: number;
  /** Waiting for device sets, and holding their locks. */
  readonly lock: number;
  readonly map: number;
  readonly reset: number;
  readonly boot: number;
  readonly total: number;
}

export interface Starting {
  readonly host: number;
  readonly at: number;
  /** Device sets that are opened, one after the other: numbers of their own on each host. */
  readonly devsets: readonly number[];
  /** GiB that are mapped for DMA. */
  readonly gib: number;
  readonly pages: Pages;
}

interface HostState {
  launched: number;
  readonly locks: Map<number, number>;
  /** Ends of starts under way. */
  ends: number[];
}

export class HostStarts {
  private readonly hosts = new Map<number, HostState>();

  constructor(private readonly costs: HostCosts) {}

  start({ host, at, devsets, gib, pages }: Starting): Start {
    const { costs } = this;
    const state = this.stateOf(host, at);
    state.launched = Math.max(at, state.launched) + costs.launch;
    let now = state.launched + (devsets.length > 0 ? costs.memory.process : 0);
    const launch = now - at;
    let lock = 0;
    for (const devset of devsets) {
      const free = Math.max(now, state.locks.get(devset) ?? 0) + costs.devset;
      state.locks.set(devset, free);
      lock += free - now;
      now = free;
    }
    const alone = pinSeconds(costs.memory, { gib, pages, preallocated: false, parallel: false });
    const map = gib === 0 ? 0 : Math.max(alone, (gib * (state.ends.length + 1)) / costs.bandwidth);
    const reset = devsets.length * costs.reset;
    const total = now - at + map + reset + costs.boot;
    state.ends.push(at + total);
    return { launch, lock, map, reset, boot: costs.boot, total };
  }

  /** What a host had under way is lost. */
  forget(host: number): void {
    this.hosts.delete(host);
  }

  private stateOf(host: number, at: number): HostState {
    let state = this.hosts.get(host);
    if (!state) this.hosts.set(host, (state = { launched: 0, locks: new Map<number, number>(), ends: [] }));
    state.ends = state.ends.filter((end) => end > at);
    for (const [devset, free] of state.locks) if (free <= at) state.locks.delete(devset);
    return state;
  }
}
