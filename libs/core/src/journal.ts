/**
 * Journal records: what an actor writes down before it acts.
 *
 * Words: a *record* is one group commit: some inputs in order, with the time at which they were taken. Its *seq* is the
 * number of the last input in it, counted from 1 since the actor was made.
 * Rule: a record is durable before any of its inputs is executed; its hash covers the record before it, its own bytes,
 * and the outputs that the machine had made since the last record, so a replay that answers differently is noticed.
 */
import { ByteReader, ByteWriter } from './bytes.js';
import type { Input, Output } from './machine.js';

export interface JournalRecord {
  /** Number of the last input in the record. */
  readonly seq: number;
  readonly body: Uint8Array;
}
/** A record as it was read back. */
export interface LoadedRecord extends JournalRecord {
  /**
   * Throws when the outputs that a replay has made since the record before differ from those that were made when the
   * record was written. A journal that keeps no hashes has no check.
   */
  check?(outputs: readonly Output[]): void;
}
export interface Snapshot {
  readonly seq: number;
  /** As `Actor.snapshot` wrote it: the outputs of the last turn, then the machine. Read back by `restoreSnapshot`. */
  readonly state: Uint8Array;
}
export interface Head {
  readonly seq: number;
  readonly hash: string;
}
/** What recovery starts from: a snapshot (or nothing) and the records after it. */
export interface Journaled {
  readonly snapshot: Snapshot | undefined;
  readonly records: Iterable<LoadedRecord>;
}

/** There is no room for the record, and nothing of it was written; the same append may succeed later. */
export class JournalFull extends Error {}

/** Where an actor's journal is kept. Every method is synchronous: what returns has happened. */
export interface JournalPort {
  /** Nothing is kept, so that bodies need not be made: records come with an empty one. */
  readonly keepsNothing?: boolean;
  /** Reads everything and checks the chain; throws an error that names the damaged place. */
  load(): Journaled;
  /**
   * Durable when it returns (in the chosen mode); throws when it cannot be, and then nothing was written. `JournalFull`: there
   * is no room now.
   */
  append(record: JournalRecord, outputs: readonly Output[]): void;
  head(): Head;
  /** Keeps a snapshot; records up to it may be dropped unless the run is recorded. Throws as `append`. */
  saveSnapshot(snapshot: Snapshot): void;
  close(): void;
}

/** Bodies are pieces of slabs: most are small. */
const scratch = new ByteWriter(65536);

export function encodeInputs(inputs: readonly Input[], now: number): Uint8Array {
  const w = scratch.reset();
  w.num(now);
  w.u32(inputs.length);
  for (const i of inputs) {
    w.str(i.from);
    w.bytes(i.frame);
    w.bytes(i.entropy);
  }
  return w.detach();
}

/** When a record was taken and how many inputs are in it, without decoding them. */
export function recordHeader(body: Uint8Array): { now: number; inputs: number } {
  const r = new ByteReader(body);
  return { now: r.num(), inputs: r.u32() };
}

/** Outputs as bytes: their number, then destination and frame of each, in the order in which they were made. */
export function writeOutputs(w: ByteWriter, outputs: readonly Output[]): void {
  w.u32(outputs.length);
  for (const o of outputs) {
    w.str(o.to);
    w.bytes(o.frame);
  }
}

export const readOutputs = (r: ByteReader): Output[] => r.list(() => ({ to: r.str(), frame: r.bytes().slice() }));

export function decodeInputs(body: Uint8Array): Input[] {
  const r = new ByteReader(body);
  const now = r.num();
  const inputs: Input[] = [];
  const count = r.count();
  let from = '';
  for (let i = 0; i < count; i++) {
    // Most inputs of a record come from the same sender.
    from = r.strLike(from);
    inputs.push({ from, frame: r.bytes(), now, entropy: r.bytes() });
  }
  r.done();
  return inputs;
}

/** A journal that keeps nothing: mode `none`. */
export class NoJournal implements JournalPort {
  readonly keepsNothing = true;
  private seq = 0;
  load(): Journaled {
    return { snapshot: undefined, records: [] };
  }
  append(record: JournalRecord): void {
    this.seq = record.seq;
  }
  head(): Head {
    return { seq: this.seq, hash: '' };
  }
  saveSnapshot(): void {}
  close(): void {}
}
