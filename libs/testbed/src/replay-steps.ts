/**
 * Going through runs step by step: what happened in order, and where two runs part.
 *
 * Words: a step *counts* when it changed what a client could tell of its service. Two runs *part* at the first counted step
 * of a service that another caller or method made, or that led to another state.
 * Rule: what does not count (repeated requests, witnesses, requests that were refused and changed nothing) is not compared:
 * runs of one scenario differ in it by chance.
 */
import type { Address } from '@vfiolab/core';
import { stateHash } from '@vfiolab/host';
import { openTape } from './replay.js';
import { readManifest } from './run-folder.js';
import type { Tape } from './tape.js';

export interface Step {
  /** Value of the run's clock after it. */
  readonly clock: number;
  readonly address: Address;
  /** Number of the input in the service's journal. */
  readonly seq: number;
  readonly what: string;
}

async function tapesOf(dir: string): Promise<Tape[]> {
  return Promise.all(readManifest(dir).actors.map((end) => openTape(dir, end)));
}

/** All steps of a run with clocks in [from, until], in the order of its clock, of one service or of all: at most `most`. */
export async function stepsOf(
  dir: string,
  options: { readonly from: number; readonly until: number; readonly service?: Address; readonly most: number },
): Promise<{ steps: Step[]; more: boolean }> {
  const tapes = await tapesOf(dir);
  const { from, until, service, most } = options;
  const played = tapes.filter(({ address }) => service === undefined || address === service);
  if (played.length === 0)
    throw new Error(`there is no service ${service} in this run; there are ${tapes.map((t) => t.address).join(', ')}`);
  const steps: Step[] = [];
  try {
    for (;;) {
      const tape = played.reduce((least, t) => (t.nextClock < least.nextClock ? t : least));
      const clock = tape.nextClock;
      if (clock > until || clock === Number.POSITIVE_INFINITY) return { steps, more: false };
      const what = tape.nextStep;
      tape.step();
      if (clock < from) continue;
      if (steps.length === most) return { steps, more: true };
      steps.push({ clock, address: tape.address, seq: tape.seq, what });
    }
  } finally {
    await Promise.all(tapes.map((t) => t.close()));
  }
}

/** A service at a moment of one of two runs. */
export interface Moment {
  readonly clock: number;
  readonly seq: number;
  readonly what: string;
  readonly stateHash: string;
  /** The state, for people. */
  readonly lines: string[];
}

export interface Parting {
  readonly address: Address;
  /** undefined: the run has ended there, or never had the service. */
  readonly first: Moment | undefined;
  readonly second: Moment | undefined;
}

export interface RunDifference {
  readonly titles: readonly [string, string];
  /** Services in which the runs differ, in the order in which they part by the clock of the first run. */
  readonly partings: Parting[];
  /** Steps that count and are alike, over all services. */
  readonly alike: number;
}

/** Where two runs part. Throws when a journal is damaged. */
export async function diffRuns(first: string, second: string): Promise<RunDifference> {
  const [a, b] = [await tapesOf(first), await tapesOf(second)];
  const partings: Parting[] = [];
  let alike = 0;
  try {
    for (const address of [...new Set([...a, ...b].map((t) => t.address))].sort()) {
      const found = part(
        a.find((t) => t.address === address),
        b.find((t) => t.address === address),
      );
      alike += found.alike;
      if (found.parted) partings.push({ address, ...found.parted });
    }
  } finally {
    await Promise.all([...a, ...b].map((t) => t.close()));
  }
  const clockOf = ({ first, second }: Parting): number => first?.clock ?? second!.clock;
  partings.sort((x, y) => clockOf(x) - clockOf(y));
  return { titles: [readManifest(first).title, readManifest(second).title], partings, alike };
}

function part(a: Tape | undefined, b: Tape | undefined): { alike: number; parted?: Omit<Parting, 'address'> } {
  const [ones, others] = [a && countedSteps(a), b && countedSteps(b)];
  for (let alike = 0; ; alike++) {
    const [first, second] = [ones?.next().value, others?.next().value];
    if (!first && !second) return { alike };
    if (first?.what !== second?.what || first?.stateHash !== second?.stateHash)
      return { alike, parted: { first: first && told(a!, first), second: second && told(b!, second) } };
  }
}

const told = ({ machine }: Tape, moment: Omit<Moment, 'lines'>): Moment => ({
  ...moment,
  lines: machine.core.describe(),
});

/** Plays the tape from one step that counts to the next. */
function* countedSteps(tape: Tape): Generator<Omit<Moment, 'lines'>, undefined> {
  let before = stateHash(tape.machine);
  while (tape.peek()) {
    const what = tape.nextStep;
    tape.step();
    const hash = stateHash(tape.machine);
    if (hash === before) continue;
    before = hash;
    yield { clock: tape.machine.clock, seq: tape.seq, what, stateHash: hash };
  }
  return undefined;
}
