/** `vfiolab demo`: the main job from beginning to end, then replayed, then looked at in the middle. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { RunEnd, Scenario } from '@vfiolab/scenario';
import { type Command, type Context, FAILED, type Input, OK } from '../command.js';
import type { Engine, ReplayReport } from '../engine.js';
import { Narrator } from '../narrator.js';
import { runDirectory } from '../run-directory.js';
import { type FinishedRun, isGood, loadScenario, runInLab } from '../run-scenario.js';
import { printHashes, printState, replayIsGood } from './replay.js';
import { reportProblems } from './run.js';
import type { Terminal } from '../terminal.js';

export const DEMO_FILE = fileURLToPath(new URL('../../scenarios/demo.yaml', import.meta.url));
/** Where the earlier moment lies: here everything is mapped and the device is at work. */
const MOMENT = 0.6;
/** Services whose state says most about that moment, and how many lines of each are shown. */
const SHOWN = ['device:0000:41:00_0', 'iommufd', 'pages'];
const MOST_LINES = 8;

interface Replays {
  readonly end: ReplayReport;
  readonly moment: ReplayReport;
}

/** Does every service end in the same state? */
export function sameStates(a: RunEnd, b: RunEnd): boolean {
  const states = ({ actors }: RunEnd): string =>
    JSON.stringify(actors.map(({ address, stateHash }) => [address, stateHash]).sort());
  return states(a) === states(b);
}

async function replays(engine: Engine, dir: string): Promise<Replays> {
  const end = await engine.replayRun(dir);
  return { end, moment: await engine.replayRun(dir, { until: Math.floor(end.last * MOMENT) }) };
}

/** The end of the same scenario with all services in one process; nothing of that run is kept. */
async function embeddedEnd(engine: Engine, scenario: Scenario): Promise<RunEnd> {
  const parent = mkdtempSync(join(tmpdir(), 'vfiolab-demo-'));
  try {
    const where = { dir: join(parent, 'run'), durability: 'process', nats: undefined } as const;
    return (await runInLab(engine, scenario, where, {})).end;
  } finally {
    rmSync(parent, { recursive: true, force: true });
  }
}

function printReplays(terminal: Terminal, { end, moment }: Replays): void {
  terminal.out(`\n${terminal.style('bold', 'The run again, from its journals')}`);
  printHashes(terminal, end);
  const all = replayIsGood(end)
    ? `All ${end.actors.length} hashes are those of the run.`
    : 'Not all hashes are those of the run.';
  terminal.out(`  ${all}`);
  terminal.out(`\n${terminal.style('bold', `An earlier moment: ${moment.until} of ${moment.last}`)}`);
  for (const actor of moment.actors) if (SHOWN.includes(actor.address)) printState(terminal, actor, MOST_LINES);
}

function printNext(terminal: Terminal, { dir, seconds }: FinishedRun, { moment }: Replays): void {
  terminal.out(`\nThe run took ${seconds.toFixed(2)} s and lies in ${dir}. What to try next:`);
  terminal.out(`  vfiolab replay ${dir} --until ${Math.floor(moment.last / 2)}`);
  const file = relative('.', DEMO_FILE);
  terminal.out(`  vfiolab run ${file} --seed 7      the same with lost messages and crashes`);
  terminal.out('  vfiolab campaign --seeds 1-100      a hundred such runs');
  terminal.out(`  Copy ${file}, change it, and run it: vfiolab run my.yaml`);
}

/** `undefined`: nothing to compare with, because the run was embedded itself. */
function printComparison(terminal: Terminal, same: boolean | undefined): void {
  if (same === undefined) return;
  const text = same
    ? 'The services ended in the same states as in one process.'
    : 'The services did not end in the same states as in one process.';
  terminal.out(`\n${terminal.style(same ? 'green' : 'red', text)}`);
}

async function runDemo(input: Input, { terminal, engine, json }: Context): Promise<number> {
  const scenario = loadScenario(DEMO_FILE);
  const nats = input.given('nats') ? 'auto' : undefined;
  const where = {
    dir: runDirectory(input.text('out'), scenario.title, new Date()),
    durability: 'process',
    nats,
  } as const;
  const narrator = new Narrator(terminal, scenario);
  if (!json) narrator.begin();
  const run = await runInLab(engine, scenario, where, json ? {} : narrator);
  if (!json) reportProblems(terminal, run);
  terminal.progress('replaying the run ...');
  const replayed = await replays(engine, run.dir);
  if (nats !== undefined) terminal.progress('running it once more in one process ...');
  const same = nats === undefined ? undefined : sameStates(run.end, await embeddedEnd(engine, scenario));
  const ok = isGood(run) && replayIsGood(replayed.end) && same !== false;
  if (json)
    terminal.json({
      ok,
      mode: run.mode,
      run: run.dir,
      seconds: run.seconds,
      steps: run.result.transcript.length,
      failure: run.result.failure ?? null,
      broken: run.end.broken,
      actors: replayed.end.actors.map(({ address, seq, stateHash, matches }) => ({ address, seq, stateHash, matches })),
      sameAsEmbedded: same ?? null,
    });
  else {
    printReplays(terminal, replayed);
    printComparison(terminal, same);
    printNext(terminal, run, replayed);
  }
  terminal.clear();
  return ok ? OK : FAILED;
}

export const demo: Command = {
  name: 'demo',
  summary: "give a real machine's GPU to a guest, break a service on the way, replay it all",
  positionals: [],
  options: {
    nats: { about: 'one process a service, on a NATS server started on loopback' },
    out: { value: 'DIR', about: 'folder for the run; default runs/demo-TIME' },
  },
  details: `
Runs libs/cli/scenarios/demo.yaml, an ordinary scenario file, and explains every step. With --nats the service that pins
memory is a process that is really killed.

  vfiolab demo
  vfiolab demo --nats`,
  run: runDemo,
};
