/**
 * What a fault plan does to the actors of a process, besides what it does to frames: they pause, and their disks are full.
 *
 * Rule: a paused actor does nothing, and what is for it waits; a full disk takes nothing and keeps what it has.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import {
  type Address,
  type EdgeState,
  type FaultEdge,
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

  constructor(private readonly goOn: (waiting: readonly Waiting[]) => void) {}

  set(what: Trouble, target: Address, on: boolean): void {
    const key = `${what} ${target}`;
    const count = (this.on.get(key) ?? 0) + (on ? 1 : -1);
    if (count > 0) this.on.set(key, count);
    else this.on.delete(key);
    if (on || what !== 'pause') return;
    const { waiting } = this;
    this.waiting = [];
    this.goOn(waiting);
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

/** The plan of one host's actors, on disk while there is one: a process that it kills goes on with it. */
export class FaultStore {
  constructor(private readonly file: string) {}

  /** Puts the plan that there was into `plan`. One that cannot be read is no part of the lab's state, and is forgotten. */
  restore(plan: FaultEdge): void {
    if (!existsSync(this.file)) return;
    try {
      plan.restore(JSON.parse(readFileSync(this.file, 'utf8')) as EdgeState);
    } catch {
      plan.clear();
    }
  }

  save(state: EdgeState): void {
    if (state.rules.length === 0 && state.refused.length === 0) return rmSync(this.file, { force: true });
    mkdirSync(dirname(this.file), { recursive: true, mode: 0o700 });
    const next = `${this.file}.new`;
    writeFileSync(next, JSON.stringify(state), { mode: 0o600 });
    renameSync(next, this.file);
  }
}
