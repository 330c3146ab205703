/**
 * Which instance of each actor has authority.
 *
 * Words: an *instance* is one life of an actor's process, under a name that no other life has; the *epoch* is the number
 * of lives that an actor has had.
 * Rule: a new name gets the next epoch, the same name gets the same one again. Whoever speaks under an older epoch is
 * refused everywhere, so two instances of one actor never both act.
 */
import type { Address, ByteReader, ByteWriter } from '@vfiolab/core';
import { LIMITS } from './limits.js';

export interface Instance {
  readonly epoch: number;
  readonly name: string;
  /** Milliseconds since the epoch of Unix at its registration. */
  readonly since: number;
}

/** The epoch of nobody: an actor that gets it has no authority. */
export const NO_EPOCH = 0;

export class Instances {
  private readonly byActor = new Map<Address, Instance>();

  /** The epoch of this instance; NO_EPOCH when the name is empty or too long, or there are too many actors. */
  register(actor: Address, name: string, now: number): number {
    if (name === '' || name.length > LIMITS.instance) return NO_EPOCH;
    const known = this.byActor.get(actor);
    if (known?.name === name) return known.epoch;
    if (!known && this.byActor.size >= LIMITS.actors) return NO_EPOCH;
    const epoch = (known?.epoch ?? NO_EPOCH) + 1;
    this.byActor.set(actor, { epoch, name, since: now });
    return epoch;
  }

  /** By address. */
  sorted(): [Address, Instance][] {
    return [...this.byActor].sort(([a], [b]) => (a < b ? -1 : 1));
  }

  encode(w: ByteWriter): void {
    w.list(this.sorted(), ([actor, { epoch, name, since }]) => {
      w.str(actor);
      w.u32(epoch);
      w.str(name);
      w.num(since);
    });
  }

  decode(r: ByteReader): void {
    for (const [actor, epoch, name, since] of r.list(() => [r.str(), r.u32(), r.str(), r.num()] as const))
      this.byActor.set(actor, { epoch, name, since });
  }

  /** Every known instance has an epoch and a name. */
  check(): string[] {
    return this.sorted().flatMap(([actor, { epoch, name }]) =>
      epoch > NO_EPOCH && name !== '' ? [] : [`${actor}: instance "${name}" has epoch ${epoch}`],
    );
  }
}
