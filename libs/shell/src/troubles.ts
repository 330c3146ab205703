/**
 * Troubles of a host's actors: they pause, and their disks are full.
 *
 * Rule: a paused actor does nothing, and what is for it waits; a full disk takes nothing and keeps what it has.
 */
import {
  type Address,
  type Head,
  type Journaled,
  JournalFull,
  type JournalPort,
  type JournalRecord,
  MAX_WAITING,
  type Output,
  serviceOf,
  type Snapshot,
  type Trouble,
} from '@vfiolab/core';

interface Waiting {
  readonly to: Address;
  readonly from: Address;
  readonly frame: Uint8Array;
}

/** Whom a plan has in trouble. The same trouble may come several times; the last to end ends it. */
export class Troubles {
  private readonly on = new Map<string, number>();
  private waiting: Waiting[] = [];

  constructor(private readonly hand: (to: Address, from: Address, frame: Uint8Array) => void) {}

  set(what: Trouble, target: Address, on: boolean): void {
    const key = `${what} ${target}`;
    const count = (this.on.get(key) ?? 0) + (on ? 1 : -1);
    if (count > 0) this.on.set(key, count);
    else this.on.delete(key);
    if (on || what !== 'pause') return;
    const { waiting } = this;
    this.waiting = [];
    for (const { to, from, frame } of waiting) this.hand(to, from, frame);
  }

  has(what: Trouble, address: Address): boolean {
    return this.on.size > 0 && (this.on.has(`${what} ${address}`) || this.on.has(`${what} ${serviceOf(address)}`));
  }

  /** True: the actor is paused, and the frame waits with others; too many are dropped, and come again. */
  keepsWaiting(to: Address, from: Address, frame: Uint8Array): boolean {
    if (!this.has('pause', to)) return false;
    if (this.waiting.length < MAX_WAITING) this.waiting.push({ to, from, frame });
    return true;
  }
}

/** A journal on a disk that may be full. */
export class FullDisk implements JournalPort {
  readonly keepsNothing: boolean;

  constructor(
    private readonly journal: JournalPort,
    private readonly full: () => boolean,
  ) {
    this.keepsNothing = journal.keepsNothing ?? false;
  }

  private needRoom(): void {
    if (this.full()) throw new JournalFull('a fault plan has filled the disk');
  }

  load(): Journaled {
    return this.journal.load();
  }

  append(record: JournalRecord, outputs: readonly Output[]): void {
    this.needRoom();
    this.journal.append(record, outputs);
  }

  head(): Head {
    return this.journal.head();
  }

  saveSnapshot(snapshot: Snapshot): void {
    this.needRoom();
    this.journal.saveSnapshot(snapshot);
  }

  close(): void {
    this.journal.close();
  }
}
