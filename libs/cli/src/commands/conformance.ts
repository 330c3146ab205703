/**
 * `vfiolab conformance`: programs whose answers real kernels gave, run against the lab.
 *
 * Rule: the report for programs is one object with exact counts and the first mismatches; people get the same counts, by
 * machine and family, and what the mismatches have in common.
 */
import type { ConformanceOptions, DeviationCount, Tally } from '@vfiolab/conformance';
import { type Command, type Context, FAILED, type Input, OK, UsageError, wholeNumber } from '../command.js';
import { natsUrl } from './run.js';

/** Threads of one run. */
const MAX_THREADS = 256;
/** Traces at once on NATS: as many hosts have all services. */
const MAX_LANES = 64;
/** Traces at once on NATS: enough to keep the services busy while some traces wait for time to pass. */
const LANES = 8;
/** Causes and mismatches that people are shown. */
const SHOWN_CAUSES = 20;
const SHOWN_MISMATCHES = 10;

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

/** How many traces run at once, and what they run in. */
function optionsOf(input: Input, { terminal }: Context, most: number): ConformanceOptions {
  const grep = input.text('grep');
  const threads = input.text('threads');
  return {
    ...(grep !== undefined && { grep }),
    ...(threads !== undefined && { threads: wholeNumber('threads', threads, most) }),
    onTrace: (done) => terminal.progress(`${done} traces`),
  };
}

async function compare(input: Input, options: ConformanceOptions): Promise<Tally> {
  const { conformance, InputError } = await import('@vfiolab/conformance');
  return conformance(input.positionals, options).catch((error: unknown) => {
    throw error instanceof InputError ? new UsageError(error.message) : error;
  });
}

/** The same on service processes; they end with the run. What keeps them from starting is said as an error of usage. */
async function compareOnNats(url: string, input: Input, context: Context): Promise<Tally> {
  const { threads = LANES, ...options } = optionsOf(input, context, MAX_LANES);
  const lanes = Math.max(1, threads);
  const lab = await context.engine.startNatsLab({ url, hosts: lanes }).catch((error: unknown) => {
    throw new UsageError(`--nats: ${(error as Error).message}`);
  });
  try {
    return await compare(input, { ...options, threads: lanes, lab });
  } finally {
    await lab.end();
  }
}

async function runConformance(input: Input, context: Context): Promise<number> {
  const { terminal, json } = context;
  const { inWords } = await import('@vfiolab/conformance');
  const nats = natsUrl(input.text('nats'));
  const began = performance.now();
  const tally =
    nats === undefined
      ? await compare(input, optionsOf(input, context, MAX_THREADS))
      : await compareOnNats(nats, input, context);
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
    nats: { value: 'URL|auto', about: 'one process a service, on this NATS server (auto: start one on loopback)' },
    threads: {
      value: 'N',
      about: `threads; default: one for each processor, 0: none. With --nats: traces at once, default ${LANES}`,
    },
    verbose: { about: 'show the first mismatches, call by call' },
  },
  details: `
PATH is a file or a folder of traces (.jsonl or .jsonl.gz). Every trace runs on a fresh host of the machine and kernel that
its header names: in virtual time, or with --nats in real time on service processes that are started for the run and serve
all its hosts. Both give the same report. With --json it is {"traces", "tracesMatched", "steps", "stepsMatched",
"mismatches": [{"trace", "step", "field", "expected", "got"}]}, with at most 100 mismatches. Where the lab answers otherwise
on purpose, "deviations" names what, why, and in how many steps; they count neither as matches nor as mismatches.

  vfiolab conformance test/conformance/traces
  vfiolab conformance traces --grep b013 --verbose
  vfiolab conformance traces --nats auto`,
  run: runConformance,
};
