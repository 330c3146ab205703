/**
 * Replay and time travel: the same cores, fed from the journals.
 *
 * Words: `until` is a value of the run's Lamport clock: cutting every journal there gives a state that all services could
 * have been in together.
 * Rule: every byte of every journal is checked before anything is believed: seal, hash chain, and the outputs that the
 * replay makes.
 */
import type { Address } from '@vfiolab/core';
import { stateHash } from '@vfiolab/host';
import type { ActorEnd, RunEnd } from '@vfiolab/scenario';
import { checkSeal } from '@vfiolab/shell';
import { journalsOf, readManifest, type SealedActor } from './run-folder.js';
import { Tape } from './tape.js';

export interface ReplayedActor {
  readonly address: Address;
  readonly seq: number;
  readonly clock: number;
  readonly journalHash: string;
  readonly stateHash: string;
  /** What the run ended with; only when the replay went to the end. */
  readonly expectedStateHash?: string;
  readonly matches: boolean;
  /** The record before which a changed program made other outputs than were made when it was written. */
  readonly parted?: number;
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

export interface ReplayOptions {
  /** Clock value to stop at; the end when left out. */
  readonly until?: number;
  /** Goes on when this program answers otherwise than the one that made the run, and says where that began. */
  readonly changed?: boolean;
}

/** Opens the tape of one service of a run, its seal checked. */
export function openTape(dir: string, { address, journal }: SealedActor, lenient = false): Promise<Tape> {
  const file = journalsOf(dir).file(address);
  checkSeal(file, journal);
  return Tape.open(file, address, { sealed: true, lenient });
}

/** Rebuilds every service of a run. Throws when a journal is damaged, or, unless `changed`, the replay answers differently. */
export async function replayRun(dir: string, { until, changed = false }: ReplayOptions = {}): Promise<ReplayReport> {
  const { title, actors: sealed } = readManifest(dir);
  const last = Math.max(0, ...sealed.map((a) => a.clock));
  const cut = Math.min(until ?? last, last);
  const actors: ReplayedActor[] = [];
  const broken: string[] = [];
  let inputs = 0;
  for (const end of sealed) {
    const tape = await openTape(dir, end, changed);
    try {
      if (cut < last) tape.playTo(cut);
      else tape.playOut();
      inputs += tape.seq;
      actors.push(report(tape, end));
      if (tape.machine.idle) broken.push(...tape.machine.core.check().map((b) => `${end.address}: ${b}`));
    } finally {
      await tape.close();
    }
  }
  return { title, last, until: cut, inputs, actors, broken };
}

/** Where the journals of a run have ended, by replaying them: what a run on NATS is judged by. */
export async function endOfJournals(dir: string, addresses: readonly Address[]): Promise<RunEnd> {
  const journals = journalsOf(dir);
  const actors: ActorEnd[] = [];
  const broken: string[] = [];
  for (const address of addresses) {
    // A run that is not recorded has dropped what lies before its newest snapshots.
    const tape = await Tape.open(journals.file(address), address, {}, true);
    tape.playOut();
    const { machine, seq } = tape;
    const journalHash = hashOf(tape);
    await tape.close();
    actors.push({ address, seq, clock: machine.clock, journalHash, stateHash: stateHash(machine) });
    broken.push(...machine.core.check());
  }
  return { actors, broken };
}

const hashOf = ({ reading }: Tape): string => Buffer.from(reading.head.link).toString('hex');

function report(tape: Tape, end: SealedActor): ReplayedActor {
  const { machine, seq, parted } = tape;
  const toTheEnd = seq === end.seq;
  const hash = stateHash(machine);
  const journalHash = hashOf(tape);
  return {
    address: end.address,
    seq,
    clock: machine.clock,
    journalHash,
    stateHash: hash,
    ...(toTheEnd && { expectedStateHash: end.stateHash }),
    matches: parted === undefined && journalHash === end.journalHash && (!toTheEnd || hash === end.stateHash),
    ...(parted !== undefined && { parted }),
    lines: machine.core.describe(),
  };
}
