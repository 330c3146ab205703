/**
 * `vfiolab conformance`: programs whose answers real kernels gave, run against the lab.
 *
 * Rule: the report for programs is one object with exact counts and the first mismatches; people get the same counts, by
 * machine and family, and what the mismatches have in common.
 */
import type { ConformanceReport, DeviationCount } from '@vfiolab/conformance';
import { type Command, type Context, FAILED, type Input, OK, UsageError, wholeNumber } from '../command.js';

/** Threads of one run. */
const MAX_THREADS = 256;
/** Causes and mismatches that people are shown. */
const SHOWN_CAUSES = 20;
const SHOWN_MISMATCHES = 10;

/** The part of @vfiolab/conformance's tally that is used here. */
interface Tally {
  readonly groups: ReadonlyMap<string, { traces: number; tracesMatched: number; steps: number; stepsMatched: number }>;
  report(): ConformanceReport;
  deviations(): readonly DeviationCount[];
  causes(): readonly { cause: string; count: number; first: number; example: string }[];
}

const percent = (part: number, whole: number): string =>
  `${whole === 0 ? '100.0' : ((100 * part) / whole).toFixed(1)} %`;

function printGroups({ terminal }: Context, { groups }: Tally): void {
  const widest = Math.max(...[...groups.keys()].map((name) => name.length));
  for (const [name, { traces, tracesMatched, steps, stepsMatched }] of [...groups].sort(([a], [b]) => (a < b ? -1 : 1)))
    terminal.out(
      `  ${name.padEnd(widest)}  ${`${tracesMatched}/${traces}`.padStart(9)} traces  ${`${stepsMatched}/${steps}`.padStart(13)} steps  ${percent(stepsMatched, steps).padStart(7)}`,
    );
}

function printCauses({ terminal }: Context, tally: Tally): void {
  const causes = tally.causes();
  if (causes.length === 0) return;
  terminal.out('\nWhat went wrong first, in how many traces, and how many steps it spoilt in all:');
  for (const { cause, first, count, example } of causes.slice(0, SHOWN_CAUSES))
    terminal.out(`  ${String(first).padStart(5)} ${String(count).padStart(7)}  ${cause} (${example})`);
  if (causes.length > SHOWN_CAUSES) terminal.out(`  and ${causes.length - SHOWN_CAUSES} more.`);
}

function printDeviations({ terminal }: Context, deviations: readonly DeviationCount[]): void {
  if (deviations.length === 0) return;
  terminal.out('\nDeviations, which count neither as matches nor as mismatches:');
  for (const { name, reason, steps, traces, example } of deviations)
    terminal.out(`  ${steps} steps, ${traces} traces that differ in nothing else: ${name} (${example})\n    ${reason}`);
}

async function runConformance(input: Input, context: Context): Promise<number> {
  const { terminal, json } = context;
  const { conformance, inWords, InputError } = await import('@vfiolab/conformance');
  const grep = input.text('grep');
  const threads = input.text('threads');
  const began = performance.now();
  const tally = await conformance(input.positionals, {
    ...(grep !== undefined && { grep }),
    ...(threads !== undefined && { threads: wholeNumber('threads', threads, MAX_THREADS) }),
    onTrace: (done) => terminal.progress(`${done} traces`),
  }).catch((error: unknown) => {
    throw error instanceof InputError ? new UsageError(error.message) : error;
  });
  const report = tally.report();
  const { traces, tracesMatched, steps, stepsMatched } = report;
  const deviating = tally.deviations().reduce((sum, each) => sum + each.traces, 0);
  const code = traces > 0 && tracesMatched + deviating === traces ? OK : FAILED;
  if (json) {
    terminal.json(report);
    return code;
  }
  if (input.given('verbose'))
    for (const mismatch of tally.mismatches.slice(0, SHOWN_MISMATCHES)) terminal.out(`${inWords(mismatch)}\n`);
  printGroups(context, tally);
  printCauses(context, tally);
  printDeviations(context, tally.deviations());
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  terminal.out(`\n${tracesMatched} of ${traces} traces and ${stepsMatched} of ${steps} steps match, in ${seconds} s.`);
  if (traces === 0) terminal.out('No trace was run: look at the path and at --grep.');
  return code;
}

export const conformance: Command = {
  name: 'conformance',
  summary: 'compare the lab with recorded answers of real kernels',
  positionals: ['PATH...'],
  options: {
    grep: { value: 'TEXT', about: 'only traces with this text in name, machine, title or tags' },
    threads: { value: 'N', about: 'threads; default: one for each processor, 0: none' },
    verbose: { about: 'show the first mismatches, call by call' },
  },
  details: `
PATH is a file or a folder of traces (.jsonl or .jsonl.gz). Every trace runs on a fresh host of the machine and kernel that
its header names. With --json the report is {"traces", "tracesMatched", "steps", "stepsMatched", "mismatches": [{"trace",
"step", "field", "expected", "got"}]}, with at most 100 mismatches. Where the lab answers otherwise on purpose, "deviations"
names what, why, and in how many steps; they count neither as matches nor as mismatches.

  vfiolab conformance test/conformance/traces
  vfiolab conformance traces --grep b013 --verbose`,
  run: runConformance,
};
