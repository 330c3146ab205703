/**
 * Replay and time travel: the same cores, fed from the journals.
 *
 * Words: `until` is a value of the run's Lamport clock: cutting every journal there gives a state that all services could
 * have been in together.
 * Rule: every byte of every journal is checked before anything is believed: seal, hash chain, and the outputs that the
 * replay makes.
 */
import {
  type Address,
  decodeInputs,
  type Input,
  Machine,
  type Output,
  restoreSnapshot,
  type Snapshot,
} from '@vfiolab/core';
import { makeCore, stateHash } from '@vfiolab/host';
import type { ActorEnd, RunEnd } from '@vfiolab/scenario';
import { checkSeal, type JournalReading, readJournal } from '@vfiolab/shell';
import { journalsOf, readManifest, type SealedActor } from './run-folder.js';

export interface ReplayedActor {
  readonly address: Address;
  readonly seq: number;
  readonly clock: number;
  readonly journalHash: string;
  readonly stateHash: string;
  /** What the run ended with; only when the replay went to the end. */
  readonly expectedStateHash?: string;
  readonly matches: boolean;
  /** The state, for people. */
  readonly lines: string[];
}

export interface ReplayReport {
  readonly title: string;
  /** The highest clock value of the run. */
  readonly last: number;
  readonly until: number;
  /** Inputs that were replayed. */
  readonly inputs: number;
  readonly actors: ReplayedActor[];
  /** Broken invariants at the end of the replay. */
  readonly broken: string[];
}

/** Rebuilds every service of a run. Throws when a journal is damaged or the replay answers differently. */
export async function replayRun(dir: string, { until }: { until?: number } = {}): Promise<ReplayReport> {
  const { title, actors: sealed } = readManifest(dir);
  const last = Math.max(0, ...sealed.map((a) => a.clock));
  const cut = Math.min(until ?? last, last);
  const actors: ReplayedActor[] = [];
  const broken: string[] = [];
  const journals = journalsOf(dir);
  let inputs = 0;
  for (const end of sealed) {
    const replayed = await replayActor(journals.file(end.address), end, cut < last ? cut : Number.POSITIVE_INFINITY);
    inputs += replayed.actor.seq;
    actors.push(replayed.actor);
    if (replayed.machine.idle) broken.push(...replayed.machine.core.check().map((b) => `${end.address}: ${b}`));
  }
  return { title, last, until: cut, inputs, actors, broken };
}

/** Where the journals of a run have ended, by replaying them: what a run on NATS is judged by. */
export async function endOfJournals(dir: string, addresses: readonly Address[]): Promise<RunEnd> {
  const journals = journalsOf(dir);
  const actors: ActorEnd[] = [];
  const broken: string[] = [];
  for (const address of addresses) {
    const file = journals.file(address);
    const machine = newMachine(address, file);
    const reading = await readJournal(file, address);
    // A run that is not recorded has dropped what lies before its newest snapshots.
    const seq = feed(machine, reading, Number.POSITIVE_INFINITY, reading.snapshotBefore(reading.head.seq));
    const journalHash = hashOf(reading);
    await reading.close();
    actors.push({ address, seq, clock: machine.clock, journalHash, stateHash: stateHash(machine) });
    broken.push(...machine.core.check());
  }
  return { actors, broken };
}

function newMachine(address: Address, file: string): Machine {
  const core = makeCore(address);
  if (!core) throw new Error(`${file}: this program has no service for ${address}`);
  return new Machine(address, core);
}

const hashOf = (reading: JournalReading): string => Buffer.from(reading.head.link).toString('hex');

async function replayActor(
  file: string,
  end: SealedActor,
  until: number,
): Promise<{ actor: ReplayedActor; machine: Machine }> {
  checkSeal(file, end.journal);
  const machine = newMachine(end.address, file);
  const reading = await readJournal(file, end.address, true);
  try {
    const seq = feed(machine, reading, until);
    return { actor: report(machine, seq, reading, end), machine };
  } finally {
    await reading.close();
  }
}

/** Steps the machine through the journal up to the cut, from a snapshot or the beginning; answers the input it came to. */
function feed(machine: Machine, reading: JournalReading, until: number, from?: Snapshot): number {
  let seq = from?.seq ?? 0;
  let outputs: readonly Output[] = from ? restoreSnapshot(machine, from.state) : [];
  for (const record of reading.records(seq)) {
    record.check?.(outputs);
    const taken = stepUntil(machine, decodeInputs(record.body), until);
    seq += taken.steps;
    if (taken.cut) return seq;
    outputs = machine.out;
    machine.out = [];
  }
  return seq;
}

function stepUntil(machine: Machine, inputs: readonly Input[], until: number): { steps: number; cut: boolean } {
  let steps = 0;
  const cut = Number.isFinite(until);
  for (const input of inputs) {
    if (cut && machine.clockAfter(input) > until) return { steps, cut: true };
    machine.step(input);
    steps++;
  }
  return { steps, cut: false };
}

function report(machine: Machine, seq: number, reading: JournalReading, end: SealedActor): ReplayedActor {
  const toTheEnd = seq === end.seq;
  const hash = stateHash(machine);
  const journalHash = hashOf(reading);
  return {
    address: end.address,
    seq,
    clock: machine.clock,
    journalHash,
    stateHash: hash,
    ...(toTheEnd && { expectedStateHash: end.stateHash }),
    matches: journalHash === end.journalHash && (!toTheEnd || hash === end.stateHash),
    lines: machine.core.describe(),
  };
}
