/**
 * Fault plans in virtual time: the edge of a simulated host.
 *
 * Rule: a plan knows no wall clock, so clocks that jump do not move its windows.
 */
import { type Address, FaultEdge, serviceOf } from '@vfiolab/core';
import { begin, end, type Place } from './place.js';
import type { SimHost } from './sim-host.js';

/** What an edge moves behind its host's back. */
export interface Behind {
  readonly places: ReadonlyMap<Address, Place>;
  deliver(from: Address, to: Address, frame: Uint8Array): void;
}

export function planOf(host: SimHost, { places, deliver }: Behind): FaultEdge {
  const meant = (target: Address): Place[] =>
    [...places].filter(([address]) => address === target || serviceOf(address) === target).map(([, place]) => place);
  const { agenda } = host;
  const struck = new Map<string, Place[][]>();
  return new FaultEdge({
    now: () => agenda.now,
    after: (ms, run) => agenda.after(ms, run),
    deliver,
    carry: (from, to, frame) => host.network.send(from, to, frame),
    knows: (actor, from, id) => host.actor(actor)?.knows(from, id) ?? false,
    authority: (address) => {
      const actor = host.actor(address);
      if (actor?.state !== 'serving') return undefined;
      const { clock, epoch } = actor.machine;
      return { clock, epoch };
    },
    serves: () => true,
    crash: (target, downMs) => {
      for (const address of host.addresses())
        if (address === target || serviceOf(address) === target) host.crash(address, downMs);
    },
    trouble: (what, target, on) => {
      const kind = what === 'pause' ? 'pause' : 'full-disk';
      const key = `${what} ${target}`;
      // Who came later is not hit: a device has a place from its first frame on.
      const hit = on ? meant(target) : (struck.get(key)?.pop() ?? []);
      if (on) struck.set(key, [...(struck.get(key) ?? []), hit]);
      for (const place of hit) (on ? begin : end)(place, kind);
    },
    changed: () => undefined,
  });
}
