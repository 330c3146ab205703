/**
 * Who pays for pinned pages.
 *
 * Words: a *payer* is what one store's pins count against, fixed when the store is made (semantics B3.1): the user (all
 * processes of a uid together, user_struct.locked_vm), the mm (VmLck, with what is mlock'ed), or nobody. VmPin counts pinned pages of an mm
 * whoever pays.
 * Rule: one charge for a pinned slot however many users it has (B3.4). A charge that would pass the limit is not made.
 */
import { CAP_IPC_LOCK, RLIMIT_LOCKED, RLIMIT_MM, RLIMIT_UNCHARGED, RLIMIT_USER } from '@vfiolab/core';
import type { Process } from './processes.js';

/** No limit and no charge: the mapper had CAP_IPC_LOCK. */
export const RLIMIT_NONE = 2;
/** RLIMIT_LOCKED of a mapper with CAP_IPC_LOCK: a charge, but no limit (trace b075). */
export const RLIMIT_LOCKED_FREE = 4;

/** Does a container pay? Then VmLck moves and VmPin does not (SURPRISES 18). */
export const isLocked = (mode: number): boolean => mode === RLIMIT_LOCKED || mode === RLIMIT_LOCKED_FREE;

/** Is what such a payer pins part of VmPin? */
export const movesVmPin = (mode: number): boolean => !isLocked(mode) && mode !== RLIMIT_UNCHARGED;

export interface Payer {
  readonly process: Process;
  /** RLIMIT_USER, RLIMIT_MM, RLIMIT_NONE, RLIMIT_LOCKED, RLIMIT_LOCKED_FREE or RLIMIT_UNCHARGED. */
  readonly mode: number;
  /** The mapper's user when it mapped. */
  readonly uid: number;
}

/** The payer of a store that this process makes now. A later loss of the capability does not change it (trace a023). */
export function payerFor(process: Process, rlimitMode: number): Payer {
  if (rlimitMode === RLIMIT_UNCHARGED) return { process, mode: rlimitMode, uid: process.uid };
  const free = (process.caps & CAP_IPC_LOCK) !== 0;
  const unlimited = isLocked(rlimitMode) ? RLIMIT_LOCKED_FREE : RLIMIT_NONE;
  return { process, mode: free ? unlimited : rlimitMode, uid: process.uid };
}

export class Accounting {
  /** Pages charged to each user; users without a charge are not listed. */
  private readonly users = new Map<number, number>();

  userLocked(uid: number): number {
    return this.users.get(uid) ?? 0;
  }

  /** May `pages` more be charged? */
  admits(payer: Payer, pages: number): boolean {
    return pages <= this.room(payer);
  }

  /** Pages that may still be charged: what is left of the mapper's RLIMIT_MEMLOCK as it is now. May be negative. */
  room({ process, mode, uid }: Payer): number {
    if (mode === RLIMIT_NONE || mode === RLIMIT_LOCKED_FREE || mode === RLIMIT_UNCHARGED) return Infinity;
    const charged = mode === RLIMIT_USER ? this.userLocked(uid) : process.vmLocked;
    return process.memlockPages - charged;
  }

  /**
   * Moves the counters; `pages` is negative when pins go. A charge that was not admitted (I23), and one below zero (I24),
   * are bugs of the caller: throws, changes nothing.
   */
  charge(payer: Payer, pages: number): void {
    if (pages > 0 && !this.admits(payer, pages))
      throw new Error(`user ${payer.uid} pays ${pages} pages over his limit (I23)`);
    this.restore(payer, pages);
  }

  /** The same for what was charged before, when the limit may have been another. */
  restore(payer: Payer, pages: number): void {
    const { process, mode, uid } = payer;
    const counted = this.counted(payer);
    if (counted + pages < 0) throw new Error(`${-pages} pages are given back of ${counted} counted (I24)`);
    if (mode === RLIMIT_USER) this.chargeUser(uid, pages);
    if (mode === RLIMIT_MM || isLocked(mode)) process.locked += pages;
    if (movesVmPin(mode)) process.pinned += pages;
  }

  /** The smallest of the counters that a charge of this payer moves. */
  private counted({ process, mode, uid }: Payer): number {
    if (mode === RLIMIT_UNCHARGED) return Infinity;
    if (isLocked(mode)) return process.locked;
    const charged = mode === RLIMIT_USER ? this.userLocked(uid) : mode === RLIMIT_MM ? process.locked : Infinity;
    return Math.min(charged, process.pinned);
  }

  private chargeUser(uid: number, pages: number): void {
    const charged = this.userLocked(uid) + pages;
    if (charged === 0) this.users.delete(uid);
    else this.users.set(uid, charged);
  }

  /** Users with a charge, by uid. */
  charged(): { uid: number; pages: number }[] {
    return [...this.users].map(([uid, pages]) => ({ uid, pages })).sort((a, b) => a.uid - b.uid);
  }
}
