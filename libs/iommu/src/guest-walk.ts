/**
 * Walks of guest tables: from a device's address to an IPA, as the hardware of each format does it.
 *
 * Words: `fetch` reads 8 bytes of guest memory through the parent; it answers undefined where the parent refuses.
 * Rule: a walk reads exactly the entries on its way and stops at the first that refuses.
 */
import type { Op } from '@vfiolab/core';
import type { GuestTable, IotlbEntry } from './guest-table.js';
import { smmuWalk } from './guest-walk-smmu.js';
import { vtdWalk } from './guest-walk-vtd.js';

export interface Memory {
  fetch(ipa: bigint): Op<bigint | undefined>;
  /** Writes back access and dirty bits; false where the parent refuses. */
  store(ipa: bigint, value: bigint): Op<boolean>;
}

/** Why a guest's table refuses. `ipa`: the access of the walk itself that the parent refused. */
export interface WalkFault {
  readonly reason: string;
  /** Number of an SMMU's event. */
  readonly event: number;
  /** What was accessed: 0 the context descriptor, 1 a table, 2 the address itself. */
  readonly access: number;
  readonly ipa?: bigint;
}

export interface Access {
  /** Granule of 4 KiB. */
  readonly page: number;
  readonly pasid: number;
  readonly write: boolean;
}

export const isFault = (r: IotlbEntry | WalkFault): r is WalkFault => 'reason' in r;

export const walk = (table: GuestTable, access: Access, memory: Memory): Op<IotlbEntry | WalkFault> =>
  table.format === 'vtd' ? vtdWalk(table, access, memory) : smmuWalk(table, access, memory);
