/**
 * Which instance serves each host of a lab that has several.
 *
 * Words: a *placement* says which instance has a host; its *epoch* is the number of placements that the host has had.
 * Rule: compare and set: whoever places a host says which epoch it knows. Of two who would place it at the same time one is
 * refused, so a host has one owner.
 */
import type { ByteReader, ByteWriter } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import { LIMITS } from './limits.js';

export interface Placement {
  /** Empty: nobody serves it. */
  readonly instance: string;
  readonly epoch: number;
}

const isName = (s: string): boolean => s !== '' && s.length <= LIMITS.name;

export class Placements {
  private readonly byHost = new Map<string, Placement>();

  /**
   * Gives the host to the instance, or to nobody. `known`: the newest epoch that the caller knows; 0 for a host without a
   * placement. Answers the new epoch. EINVAL: no name; ESTALE: there is a newer placement; ENOSPC: too many hosts.
   */
  place(host: string, instance: string, known: number): Result<number> {
    if (!isName(host) || instance.length > LIMITS.name) return fail('EINVAL');
    const now = this.byHost.get(host);
    if ((now?.epoch ?? 0) !== known) return fail('ESTALE');
    if (!now && this.byHost.size >= LIMITS.hosts) return fail('ENOSPC');
    const epoch = known + 1;
    this.byHost.set(host, { instance, epoch });
    return ok(epoch);
  }

  /** By host. */
  sorted(): [string, Placement][] {
    return [...this.byHost].sort(([a], [b]) => (a < b ? -1 : 1));
  }

  encode(w: ByteWriter): void {
    w.list(this.sorted(), ([host, { instance, epoch }]) => {
      w.str(host);
      w.str(instance);
      w.u32(epoch);
    });
  }

  decode(r: ByteReader): void {
    for (const [host, instance, epoch] of r.list(() => [r.str(), r.str(), r.u32()] as const))
      this.byHost.set(host, { instance, epoch });
  }

  check(): string[] {
    return this.sorted().flatMap(([host, { epoch }]) =>
      epoch > 0 ? [] : [`host ${host} is placed in epoch ${epoch}`],
    );
  }
}
