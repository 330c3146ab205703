/**
 * Runs one trace against a lab.
 *
 * Words: a *pseudo step* is not in the trace: `end` stands for the state in which the program left the host.
 * Rule: every step counts; a step that could not run differs from its recording like any other.
 */
import type { LinkPorts } from '@vfiolab/client';
import type { Environment } from '@vfiolab/scenario';
import { differences } from './compare.js';
import { deviationOf } from './deviations.js';
import { historyOf } from './history.js';
import { stepRunners } from './ops/index.js';
import { lacking, type Outcome } from './outcome.js';
import { patiently } from './patience.js';
import { Program } from './program.js';
import { stepInWords } from './step-in-words.js';
import type { Json, Step, Trace } from './trace.js';
import { BadValue } from './values.js';

export interface Mismatch {
  readonly trace: string;
  /** A step's number, or a pseudo step. */
  readonly step: number | string;
  readonly field: string;
  readonly expected: Json;
  readonly got: Json;
  /** The call, and what the lab lacks for it. */
  readonly words: string;
  readonly lacks?: string;
}

/** A step that differs in what nobody can know, and by which name. */
export interface Deviating {
  readonly step: number;
  readonly name: string;
}

export interface TraceReport {
  readonly trace: string;
  readonly steps: number;
  readonly stepsMatched: number;
  readonly mismatches: readonly Mismatch[];
  readonly deviations: readonly Deviating[];
}

/** The lab's own trouble while a step ran: no errno of any kernel. */
const TROUBLE = 'lab';
/** Time for what a program left behind to be cleared away, ms of the lab's time; looked at in growing intervals. */
const SETTLE_MS = 2000;
const FIRST_LOOK_MS = 2;

async function runStep(program: Program, step: Step, env: Environment): Promise<Outcome> {
  const runner = stepRunners.get(step.op);
  if (!runner) return lacking(step.op);
  const proc = step['proc'];
  const task = await program.taskOf(typeof proc === 'string' ? proc : undefined);
  return patiently(step, env, (each) => runner({ step: each, task, program }));
}

/** What a step answered, or what went wrong with it. */
async function attempt(
  program: Program,
  step: Step,
  env: Environment,
): Promise<Outcome | { readonly trouble: string }> {
  try {
    return await runStep(program, step, env);
  } catch (error) {
    if (error instanceof BadValue) return { trouble: `the trace is wrong: ${error.message}` };
    if (error instanceof Error) return { trouble: error.message };
    throw error;
  }
}

export async function runTrace(trace: Trace, env: Environment): Promise<TraceReport> {
  const mismatches: Mismatch[] = [];
  const deviations: Deviating[] = [];
  await relive(trace, env);
  const program = await Program.start('program', env);
  const before = figuresOf(await inspectAll(env));
  let stepsMatched = 0;
  for (const step of trace.steps) {
    const found = judge(trace, step, await attempt(program, step, env));
    if ('deviation' in found) deviations.push({ step: step.i, name: found.deviation });
    else if (found.length === 0) stepsMatched++;
    else mismatches.push(...found);
  }
  mismatches.push(...(await endOf(trace, program, env, before)));
  return { trace: trace.name, steps: trace.steps.length, stepsMatched, mismatches, deviations };
}

/** Runs the trace's history as a program of its own. */
async function relive(trace: Trace, env: Environment): Promise<void> {
  const steps = historyOf(trace);
  if (steps.length === 0) return;
  const program = await Program.start('history', env);
  for (const step of steps) await runStep(program, step, env);
  await program.exit();
}

/** The step's mismatches, or the deviation that they all come from. */
function judge(
  trace: Trace,
  step: Step,
  outcome: Outcome | { readonly trouble: string },
): Mismatch[] | { readonly deviation: string } {
  const base = { trace: trace.name, step: step.i };
  if ('trouble' in outcome) {
    const expected = step['errno'] ?? step['ret'] ?? null;
    return [{ ...base, field: TROUBLE, expected, got: outcome.trouble, words: stepInWords(step) }];
  }
  const found = differences(trace, step, outcome);
  const deviation = deviationOf(trace, step, found);
  if (deviation) return { deviation: deviation.name };
  return found.map(({ field, expected, got }) => ({
    ...base,
    field,
    expected: expected ?? null,
    got: got ?? null,
    words: stepInWords(step),
    ...(outcome.lacks !== undefined && { lacks: outcome.lacks }),
  }));
}

type Figures = ReadonlyMap<string, number>;
type Inspection = Awaited<ReturnType<Environment['inspect']>> & { readonly address: string };

/** What all services say of themselves. */
const inspectAll = async (env: Environment): Promise<Inspection[]> =>
  Promise.all((await env.actors()).map(async (address) => ({ address, ...(await env.inspect(address)) })));

/** Counts of all services that are 0 on a host at rest, but for what boot set up; operations in flight are one of them. */
const figuresOf = (all: readonly Inspection[]): Figures =>
  new Map(
    all.flatMap(({ address, figures, busy }) =>
      Object.entries({ ...figures, busy }).map(([name, value]) => [`${address}.${name}`, value] as const),
    ),
  );

/** The program is gone: invariants hold, nothing is under way, and nothing of it is left. */
async function endOf(trace: Trace, program: Program, env: Environment, before: Figures): Promise<Mismatch[]> {
  const pseudo = (field: string, expected: Json, got: Json, words: string): Mismatch => ({
    trace: trace.name,
    step: 'end',
    field,
    expected,
    got,
    words,
  });
  try {
    await program.exit();
  } catch (error) {
    return [pseudo('exit', 'the program ends', (error as Error).message, 'exit of every process')];
  }
  const look = async (): Promise<Mismatch[]> => {
    const all = await inspectAll(env);
    const broken = all.flatMap(({ address, broken: words }) =>
      words.map((each) => pseudo('invariant', null, each, `state of ${address}`)),
    );
    const left = [...figuresOf(all)].filter(([name, value]) => value > (before.get(name) ?? 0));
    const leaks = left.map(([name, value]) => pseudo('left', before.get(name) ?? 0, value, name));
    return [...broken, ...leaks];
  };
  return settled(look, program.main.process.link.ports);
}

/** Looks until all is well twice in a row, or the time for it is over. */
async function settled(look: () => Promise<Mismatch[]>, time: LinkPorts): Promise<Mismatch[]> {
  const until = time.now() + SETTLE_MS;
  let calm = 0;
  for (let pause = FIRST_LOOK_MS; ; pause *= 2) {
    const wrong = await look();
    calm = wrong.length > 0 ? 0 : calm + 1;
    if (calm === 2 || time.now() >= until) return wrong;
    await time.sleep(calm > 0 ? FIRST_LOOK_MS : Math.min(pause, until - time.now()));
  }
}
