/**
 * A journal in memory that survives the crash of its actor.
 *
 * Words: the chain here is of 53-bit numbers: enough to tell a replay that answered differently, and cheap.
 * Rule: like the real one, it is durable when `append` returns.
 */
import type { Head, Journaled, JournalPort, JournalRecord, Output, Snapshot } from '@vfiolab/core';

export class SimJournal implements JournalPort {
  records: JournalRecord[] = [];
  snapshot: Snapshot | undefined;
  private hash = 1;
  private lastSeq = 0;

  load(): Journaled {
    return { snapshot: this.snapshot, records: [...this.records] };
  }

  append(record: JournalRecord, outputs: readonly Output[]): void {
    for (const o of outputs) this.mix(o.frame);
    this.mix(record.body);
    this.records.push(record);
    this.lastSeq = record.seq;
  }

  private mix(bytes: Uint8Array): void {
    let h = this.hash;
    for (let i = 0; i < bytes.length; i++) h = (Math.imul(h, 31) + bytes[i]!) >>> 0;
    this.hash = h;
  }

  head(): Head {
    return { seq: this.lastSeq, hash: this.hash.toString(16) };
  }

  /** Records up to the snapshot are dropped, as in a lab that is not recorded. */
  saveSnapshot(snapshot: Snapshot): void {
    this.snapshot = { seq: snapshot.seq, state: snapshot.state.slice() };
    this.records = this.records.filter((r) => r.seq > snapshot.seq);
  }

  close(): void {}
}
