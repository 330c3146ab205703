/**
 * Runs one trace against a lab.
 *
 * Words: a *pseudo step* is not in the trace: `end` stands for the state in which the program left the host.
 * Rule: every step counts; a step that could not run differs from its recording like any other.
 */
import type { Environment } from '@vfiolab/scenario';
import { differences } from './compare.js';
import { deviationOf } from './deviations.js';
import { stepRunners } from './ops/index.js';
import { lacking, type Outcome } from './outcome.js';
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
/** Time for what a program left behind to be cleared away, ms of the lab's time. */
const SETTLE_MS = 200;

async function runStep(program: Program, step: Step): Promise<Outcome> {
  const runner = stepRunners.get(step.op);
  if (!runner) return lacking(step.op);
  const proc = step['proc'];
  const task = await program.taskOf(typeof proc === 'string' ? proc : undefined);
  return runner({ step, task, program });
}

/** What a step answered, or what went wrong with it. */
async function attempt(program: Program, step: Step): Promise<Outcome | { readonly trouble: string }> {
  try {
    return await runStep(program, step);
  } catch (error) {
    if (error instanceof BadValue) return { trouble: `the trace is wrong: ${error.message}` };
    if (error instanceof Error) return { trouble: error.message };
    throw error;
  }
}

export async function runTrace(trace: Trace, env: Environment): Promise<TraceReport> {
  const mismatches: Mismatch[] = [];
  const deviations: Deviating[] = [];
  const program = await Program.start('program', env);
  const before = await figuresOf(env);
  let stepsMatched = 0;
  for (const step of trace.steps) {
    const found = judge(trace, step, await attempt(program, step));
    if ('deviation' in found) deviations.push({ step: step.i, name: found.deviation });
    else if (found.length === 0) stepsMatched++;
    else mismatches.push(...found);
  }
  mismatches.push(...(await endOf(trace, program, env, before)));
  return { trace: trace.name, steps: trace.steps.length, stepsMatched, mismatches, deviations };
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

/** Counts of all services that are 0 on a host at rest, but for what boot set up. */
async function figuresOf(env: Environment): Promise<Figures> {
  const all = new Map<string, number>();
  for (const address of await env.actors())
    for (const [name, value] of Object.entries((await env.inspect(address)).figures))
      all.set(`${address}.${name}`, value);
  return all;
}

/** The program is gone: invariants hold, and nothing of it is left. */
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
  await program.main.process.link.ports.sleep(SETTLE_MS);
  const broken: Mismatch[] = [];
  for (const address of await env.actors())
    for (const words of (await env.inspect(address)).broken)
      broken.push(pseudo('invariant', null, words, `state of ${address}`));
  const left = [...(await figuresOf(env))].filter(([name, value]) => value > (before.get(name) ?? 0));
  return [...broken, ...left.map(([name, value]) => pseudo('left', before.get(name) ?? 0, value, name))];
}
