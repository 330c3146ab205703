/**
 * `vfiolab replay`: rebuilds every service of a run from its journal, compares the hashes, and shows the state; or lists the
 * steps of the run; or finds where it parts from another one.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Command, FAILED, type Input, OK, UsageError, wholeNumber } from '../command.js';
import type { Engine, Parting, ReplayedActor, ReplayReport, RunDifference, Step } from '../engine.js';
import type { Terminal } from '../terminal.js';

const MANIFEST = 'run.json';
const SHORT_HASH = 12;
/** Steps that one listing shows. */
const MOST_STEPS = 1000;

export const replayIsGood = ({ actors, broken }: ReplayReport): boolean =>
  actors.every(({ matches }) => matches) && broken.length === 0;

/** One line a service: how far it got, and whether its hash is the recorded one. */
export function printHashes(terminal: Terminal, { actors }: ReplayReport): void {
  for (const { address, seq, stateHash, expectedStateHash, matches, parted } of actors) {
    const verdict = !matches
      ? terminal.style('red', 'DIFFERS')
      : terminal.style('green', expectedStateHash === undefined ? 'journal intact' : 'same');
    terminal.out(
      `  ${address.padEnd(22)} record ${String(seq).padStart(5)}  state ${stateHash.slice(0, SHORT_HASH)}  ${verdict}`,
    );
    if (parted !== undefined) terminal.out(`    this program answers otherwise before record ${parted}`);
  }
}

export function printState(terminal: Terminal, { address, lines }: ReplayedActor, most = Infinity): void {
  terminal.out(terminal.style('bold', `  ${address}`));
  if (lines.length === 0) terminal.out('    (empty)');
  for (const line of lines.slice(0, most)) terminal.out(`    ${line}`);
  if (lines.length > most) terminal.out(`    ... and ${lines.length - most} more`);
}

function print(terminal: Terminal, report: ReplayReport): void {
  const { title, last, until, actors, broken } = report;
  terminal.out(
    `${terminal.style('bold', title)}: replayed to ${until} of ${last}${until === last ? ', the end' : ''}\n`,
  );
  printHashes(terminal, report);
  terminal.out('');
  for (const actor of actors) printState(terminal, actor);
  for (const each of broken) terminal.error(`${terminal.style('red', 'Broken invariant:')} ${each}`);
  if (until === last) terminal.out(`\nLook at an earlier moment with --until N, N from 0 to ${last}.`);
}

function printSteps(terminal: Terminal, steps: readonly Step[], more: boolean): void {
  for (const { clock, address, seq, what } of steps)
    terminal.out(`  ${String(clock).padStart(7)}  ${address.padEnd(22)} ${String(seq).padStart(6)}  ${what}`);
  if (more) terminal.out(`  ... and more: go on with --from ${steps.at(-1)!.clock + 1}`);
}

/** Lines of one state that the other does not have, each with its mark. */
const onlyIn = (mark: string, lines: readonly string[], others: readonly string[]): string[] =>
  lines.filter((line) => !others.includes(line)).map((line) => `      ${mark} ${line}`);

function printParting(terminal: Terminal, { address, first, second }: Parting): void {
  terminal.out(terminal.style('bold', `  ${address}`));
  for (const [name, moment] of [
    ['first ', first],
    ['second', second],
  ] as const)
    terminal.out(
      moment ? `    ${name}  clock ${moment.clock}, input ${moment.seq}: ${moment.what}` : `    ${name}  has ended`,
    );
  if (!first || !second) return;
  for (const line of onlyIn('-', first.lines, second.lines)) terminal.out(terminal.style('red', line));
  for (const line of onlyIn('+', second.lines, first.lines)) terminal.out(terminal.style('green', line));
}

function printDifference(terminal: Terminal, { partings, alike }: RunDifference): void {
  if (partings.length === 0)
    return terminal.out(`The runs do the same: ${alike} steps that change something, all alike.`);
  terminal.out(
    `${alike} steps alike. The runs part in ${partings.length} services, first of all in ${partings[0]!.address}:\n`,
  );
  for (const parting of partings) printParting(terminal, parting);
}

function runAt(dir: string): string {
  if (existsSync(join(dir, MANIFEST))) return dir;
  throw new UsageError(
    `${dir}: there is no ${MANIFEST}. Give the folder of a run that has ended, as run and demo print it.`,
  );
}

const numberAt = (input: Input, name: string): number | undefined => {
  const text = input.text(name);
  return text === undefined ? undefined : wholeNumber(name, text);
};

/** Options that make no sense without another one, and pairs that exclude each other. */
const NEEDS = [
  ['from', 'steps'],
  ['service', 'steps'],
] as const;
const EXCLUDE = [
  ['steps', 'diff'],
  ['changed', 'steps'],
  ['changed', 'diff'],
  ['until', 'diff'],
] as const;

function check(input: Input): void {
  for (const [option, other] of NEEDS)
    if (input.given(option) && !input.given(other)) throw new UsageError(`--${option} goes with --${other} only.`);
  for (const [option, other] of EXCLUDE)
    if (input.given(option) && input.given(other))
      throw new UsageError(`--${option} and --${other} exclude each other.`);
}

async function showDifference(
  engine: Engine,
  { terminal, json }: { terminal: Terminal; json: boolean },
  runs: [string, string],
) {
  const difference = await engine.diffRuns(...runs);
  if (json) terminal.json({ ok: difference.partings.length === 0, ...difference });
  else printDifference(terminal, difference);
  return difference.partings.length === 0 ? OK : FAILED;
}

export const replay: Command = {
  name: 'replay',
  summary: 'rebuild a run from its journals, compare hashes, show the state at any moment',
  positionals: ['RUN'],
  options: {
    until: { value: 'SEQ', about: "stop at this value of the run's clock; default: the end" },
    steps: { about: `list what happened, step by step: at most ${MOST_STEPS} steps at a time` },
    from: { value: 'SEQ', about: 'with --steps: begin at this value of the clock' },
    service: { value: 'NAME', about: 'with --steps: of this service only, e.g. iommufd' },
    diff: { value: 'RUN2', about: 'find the first step where another run parts from this one' },
    changed: { about: 'go on when this build answers otherwise than the one that made the run' },
  },
  details: `
RUN is the folder of a run (runs/...). Every journal is checked to the last byte; then the services are fed from them. The
clock counts across all services: what a value leaves out was not yet known to what it takes in.

--diff compares, service by service, the steps that changed something a client could tell; what was only repeated, late or
refused does not count. It exits with 1 when the runs part. --changed feeds a run to a build that may answer otherwise: it says
before which record that begins, and whether the states at the end are still the same.

  vfiolab replay runs/demo-20260131T120000Z --until 400
  vfiolab replay runs/demo-20260131T120000Z --steps --service iommufd
  vfiolab replay runs/monday --diff runs/tuesday`,
  run: async (input, context) => {
    const { terminal, engine, json } = context;
    check(input);
    const dir = runAt(input.positionals[0]!);
    const other = input.text('diff');
    if (other !== undefined) return showDifference(engine, context, [dir, runAt(other)]);
    const until = numberAt(input, 'until');
    if (input.given('steps')) {
      const service = input.text('service');
      const range = { from: numberAt(input, 'from') ?? 0, until: until ?? Infinity, most: MOST_STEPS };
      const { steps, more } = await engine.stepsOf(dir, { ...range, ...(service !== undefined && { service }) });
      if (json) terminal.json({ ok: true, steps, more });
      else printSteps(terminal, steps, more);
      return OK;
    }
    const changed = input.given('changed');
    const report = await engine.replayRun(dir, { ...(until !== undefined && { until }), changed });
    if (json) terminal.json({ ok: replayIsGood(report), ...report });
    else print(terminal, report);
    return replayIsGood(report) ? OK : FAILED;
  },
};
