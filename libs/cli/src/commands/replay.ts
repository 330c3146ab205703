/** `vfiolab replay`: rebuilds every service of a run from its journal, compares the hashes, and shows the state. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Command, FAILED, OK, UsageError, wholeNumber } from '../command.js';
import type { ReplayedActor, ReplayReport } from '../engine.js';
import type { Terminal } from '../terminal.js';

const MANIFEST = 'run.json';
const SHORT_HASH = 12;

export const replayIsGood = ({ actors, broken }: ReplayReport): boolean =>
  actors.every(({ matches }) => matches) && broken.length === 0;

/** One line a service: how far it got, and whether its hash is the recorded one. */
export function printHashes(terminal: Terminal, { actors }: ReplayReport): void {
  for (const { address, seq, stateHash, expectedStateHash, matches } of actors) {
    const verdict = !matches
      ? terminal.style('red', 'DIFFERS')
      : terminal.style('green', expectedStateHash === undefined ? 'journal intact' : 'same');
    terminal.out(
      `  ${address.padEnd(22)} record ${String(seq).padStart(5)}  state ${stateHash.slice(0, SHORT_HASH)}  ${verdict}`,
    );
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

export const replay: Command = {
  name: 'replay',
  summary: 'rebuild a run from its journals, compare hashes, show the state at any moment',
  positionals: ['RUN'],
  options: { until: { value: 'SEQ', about: "stop at this value of the run's clock; default: the end" } },
  details: `
RUN is the folder of a run (runs/...). Every journal is checked to the last byte; then the services are fed from them. The
clock counts across all services: what a value leaves out was not yet known to what it takes in.

  vfiolab replay runs/demo-20260131T120000Z --until 400`,
  run: async (input, { terminal, engine, json }) => {
    const dir = input.positionals[0]!;
    if (!existsSync(join(dir, MANIFEST)))
      throw new UsageError(
        `${dir}: there is no ${MANIFEST}. Give the folder of a run that has ended, as run and demo print it.`,
      );
    const until = input.text('until');
    const report = await engine.replayRun(dir, until === undefined ? {} : { until: wholeNumber('until', until) });
    if (json) terminal.json({ ok: replayIsGood(report), ...report });
    else print(terminal, report);
    return replayIsGood(report) ? OK : FAILED;
  },
};
