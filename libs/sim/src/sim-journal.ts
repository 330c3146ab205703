/**
 * A journal in memory that survives the crash of its actor.
 *
 * Words: a *link* is the chained hash of a record, here of 32 bits: enough to tell a replay that answered differently, and
 * cheap. A *torn* record is one in whose middle the process died. The *synced* part is what a loss of power leaves.
 * Rule: like the real one, it is durable when `append` returns, in the chosen mode; a torn record is dropped by its hash.
 */
import {
  ByteWriter,
  type Head,
  type Journaled,
  JournalFull,
  type JournalPort,
  type JournalRecord,
  type LoadedRecord,
  type Output,
  type Snapshot,
} from '@vfiolab/core';

/** Bytes of records that share a buffer. */
const SLAB = 8192;

interface Kept extends JournalRecord {
  readonly link: number;
  /** Link of the record before it. */
  readonly prior: number;
  /** Hash of the outputs made before it. */
  readonly outputs: number;
}

/** A hash of bytes, four at a time. */
export function hashBytes(bytes: Uint8Array, h: number): number {
  const whole = bytes.length & ~3;
  for (let i = 0; i < whole; i += 4)
    h =
      Math.imul(h ^ (bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24)), 0x9e3779b1) +
      (h >>> 15);
  for (let i = whole; i < bytes.length; i++) h = Math.imul(h ^ bytes[i]!, 0x01000193);
  return h >>> 0;
}

const linkOf = (prior: number, outputs: number, body: Uint8Array): number =>
  hashBytes(body, Math.imul(prior ^ outputs, 0x85ebca6b));

const hashOutputs = (outputs: readonly Output[]): number =>
  outputs.reduce((h, { to, frame }) => hashBytes(frame, Math.imul(h ^ to.length, 0x01000193)), 1);

export class SimJournal implements JournalPort {
  records: Kept[] = [];
  snapshot: Snapshot | undefined;
  /** Nothing can be written until it is false again. */
  full = false;
  /** Told of every record, before and after it is written; it may throw, as a crash does, or tear the record first. */
  onAppend: ((when: 'before' | 'after', body: Uint8Array) => void) | undefined;
  private readonly slab = new ByteWriter(SLAB);
  private link = 1;
  private snapshotLink = 1;
  private lastSeq = 0;
  /** The head as it was told last. */
  private told: Head = { seq: -1, hash: '' };
  private toldLink = -1;
  /** Records that a loss of power leaves in mode `process`; in mode `power` it is all. */
  private synced = 0;

  load(): Journaled {
    this.dropTorn();
    return { snapshot: this.snapshot, records: this.records.map((r) => loaded(r)) };
  }

  append({ seq, body }: JournalRecord, outputs: readonly Output[]): void {
    if (this.full) throw new JournalFull('the simulated disk is full');
    this.onAppend?.('before', body);
    const made = hashOutputs(outputs);
    const prior = this.link;
    this.link = linkOf(prior, made, body);
    // What others have written must not be kept alive by this.
    const own = this.slab.reset();
    own.raw(body);
    this.records.push({ seq, body: own.detach(), prior, link: this.link, outputs: made });
    this.lastSeq = seq;
    this.onAppend?.('after', body);
  }

  /** The process dies in the middle of writing this record: half of it is in the file. */
  tear(body: Uint8Array): void {
    this.records.push({
      seq: this.lastSeq + 1,
      body: body.slice(0, body.length >> 1),
      prior: this.link,
      link: -1,
      outputs: 0,
    });
  }

  private dropTorn(): void {
    const last = this.records.at(-1);
    if (last && linkOf(last.prior, last.outputs, last.body) !== last.link) this.records.pop();
  }

  /** Power is lost, and with it what was not synced: records from `keep` on, counted from those that are not. */
  losePower(keep: number): void {
    const left = Math.min(this.records.length, this.synced + keep);
    this.records = this.records.slice(0, left);
    const last = this.records.at(-1);
    this.lastSeq = last?.seq ?? this.snapshot?.seq ?? 0;
    this.link = last?.link ?? this.snapshotLink;
  }

  /** Everything up to here is on the disk for good. */
  sync(): void {
    this.synced = this.records.length;
  }

  head(): Head {
    if (this.told.seq !== this.lastSeq || this.toldLink !== this.link) {
      this.told = { seq: this.lastSeq, hash: this.link.toString(16) };
      this.toldLink = this.link;
    }
    return this.told;
  }

  /** Records up to the snapshot are dropped, as in a lab that is not recorded. */
  saveSnapshot(snapshot: Snapshot): void {
    if (this.full) throw new JournalFull('the simulated disk is full');
    this.snapshot = { seq: snapshot.seq, state: snapshot.state.slice() };
    this.snapshotLink = this.link;
    this.records = this.records.filter((r) => r.seq > snapshot.seq);
    this.sync();
  }

  close(): void {}

  /** Another journal that holds the same; asked when a snapshot has just been taken. */
  copy(): SimJournal {
    const other = new SimJournal();
    other.snapshot = this.snapshot;
    Object.assign(other, { link: this.link, snapshotLink: this.snapshotLink, lastSeq: this.lastSeq });
    return other;
  }
}

const loaded = ({ seq, body, outputs }: Kept): LoadedRecord => ({
  seq,
  body,
  check(made) {
    if (hashOutputs(made) !== outputs) throw new Error(`the replay up to record ${seq} made other outputs`);
  },
});
