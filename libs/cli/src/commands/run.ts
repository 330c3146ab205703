/** `vfiolab run`: runs a scenario file, in a lab or in virtual time. */
import { readFileSync } from 'node:fs';
import type { Scenario } from '@vfiolab/scenario';
import type { Costs, WorkFigures } from '@vfiolab/sim';
import { type Command, type Context, FAILED, type Input, OK, UsageError, wholeNumber } from '../command.js';
import { DURABILITIES, type Durability, type Engine } from '../engine.js';
import { Narrator } from '../narrator.js';
import { planTable } from '../plan-table.js';
import { runDirectory, sysfsDirectory } from '../run-directory.js';
import { type FinishedRun, isGood, loadScenario, runInLab } from '../run-scenario.js';
import type { Terminal } from '../terminal.js';

type Outcome = Pick<FinishedRun, 'result' | 'end'>;

export function durabilityOf(input: Input): Durability {
  const text = input.text('durability') ?? 'process';
  const found = DURABILITIES.find((each) => each === text);
  if (!found)
    throw new UsageError(`--durability: ${JSON.stringify(text)} is not known. Use one of: ${DURABILITIES.join(', ')}.`);
  return found;
}

export function natsUrl(text: string | undefined): string | undefined {
  if (text === undefined || text === 'auto' || /^(nats|tls):\/\/[^\s/]+$/.test(text)) return text;
  throw new UsageError(
    `--nats: ${JSON.stringify(text)} is no address. Give nats://HOST:PORT, or auto to start a server.`,
  );
}

/** What went wrong, for people. */
export function reportProblems(terminal: Terminal, { result, end }: Outcome): void {
  if (result.failure) terminal.error(`\n${terminal.style('red', 'Not as expected.')} ${result.failure.message}`);
  if (result.faults.length > 0) terminal.out(['\nThe fault plan:', ...planTable(result.faults)].join('\n'));
  for (const each of end.broken) terminal.error(`${terminal.style('red', 'Broken invariant:')} ${each}`);
}

const summary = (outcome: Outcome): object => ({
  ok: isGood(outcome),
  steps: outcome.result.transcript.length,
  failure: outcome.result.failure ?? null,
  broken: outcome.end.broken,
  plan: outcome.result.faults,
  actors: outcome.end.actors,
  transcript: outcome.result.transcript,
});

async function inLab(input: Input, { terminal, engine, json }: Context, scenario: Scenario): Promise<number> {
  if (input.given('costs'))
    throw new UsageError('--costs needs --seed: work takes as long as it takes outside of virtual time.');
  const where = {
    dir: runDirectory(input.text('out'), scenario.title, new Date()),
    durability: durabilityOf(input),
    nats: natsUrl(input.text('nats')),
    sysfs: input.given('sysfs') ? await sysfsDirectory(engine, '--sysfs', input.text('sysfs')!) : undefined,
  };
  if (where.nats !== undefined && where.durability === 'none')
    throw new UsageError('--nats and --durability none exclude each other: a killed process would come back empty.');
  const narrator = new Narrator(terminal, scenario);
  if (!json) narrator.begin();
  const started = (url: string): void => terminal.out(`Break it from another terminal: vfiolab fault ${url} list`);
  const run = await runInLab(engine, scenario, json ? where : { ...where, started }, json ? {} : narrator);
  if (json)
    terminal.json({ title: scenario.title, mode: run.mode, run: run.dir, seconds: run.seconds, ...summary(run) });
  else {
    reportProblems(terminal, run);
    const steps = run.result.transcript.length;
    terminal.out(
      `\n${isGood(run) ? 'All' : 'Ran'} ${steps} of ${scenario.steps.length} steps${isGood(run) ? ' answered as expected' : ''} in ${run.seconds.toFixed(2)} s.`,
    );
    if (where.durability !== 'none')
      terminal.out(`The run lies in ${run.dir}. Look at any moment of it: vfiolab replay ${run.dir}`);
  }
  return isGood(run) ? OK : FAILED;
}

/** What --costs asks for; undefined: work takes no time. */
async function costsOf(input: Input, engine: Engine): Promise<Costs | undefined> {
  const file = input.text('costs');
  if (file === undefined) return undefined;
  try {
    return await engine.readCosts(file === 'default' ? undefined : JSON.parse(readFileSync(file, 'utf8')));
  } catch (error) {
    throw new UsageError(`--costs: ${(error as Error).message}`);
  }
}

const MS = 1e6;

function workInWords({ pinnedPages, mappedLeaves, unmappedLeaves, flushes, faults, ns }: WorkFigures): string {
  const orders = `${faults[18]} of 1 GiB, ${faults[9]} of 2 MiB, ${faults[0]} of 4 KiB`;
  return `Work took ${(ns / MS).toFixed(1)} ms: ${pinnedPages} pages pinned, ${mappedLeaves} leaves written and ${unmappedLeaves} cleared, ${flushes} flushes, faults on BARs: ${orders}.`;
}

async function inVirtualTime(input: Input, { terminal, engine, json }: Context, scenario: Scenario): Promise<number> {
  for (const other of ['nats', 'out', 'durability', 'sysfs'])
    if (input.given(other))
      throw new UsageError(`--seed and --${other} exclude each other: a simulation keeps nothing and needs no server.`);
  const seed = wholeNumber('seed', input.text('seed')!);
  const costs = await costsOf(input, engine);
  const narrator = new Narrator(terminal, scenario);
  if (!json) narrator.begin();
  const sim = await engine.simulate(scenario, { seed, ...(costs && { costs }) });
  const outcome = { result: sim.scenario, end: sim.end };
  const { crashes, virtualSeconds, network, options, work } = sim;
  if (json)
    terminal.json({
      title: scenario.title,
      mode: 'simulated',
      seed,
      virtualSeconds,
      crashes,
      network,
      faults: options,
      ...(work && { work }),
      ...summary(outcome),
    });
  else {
    for (const entry of outcome.result.transcript) narrator.stepEnds(entry);
    reportProblems(terminal, outcome);
    const { sent, lost, doubled, delayed } = network;
    terminal.out(
      `\nSeed ${seed}: ${virtualSeconds.toFixed(1)} s of virtual time, ${crashes} crashes; of ${sent} messages ${lost} were lost, ${doubled} doubled, ${delayed} delayed.`,
    );
    if (work) terminal.out(workInWords(work));
  }
  return isGood(outcome) ? OK : FAILED;
}

export const run: Command = {
  name: 'run',
  summary: 'run a scenario file and check every answer',
  positionals: ['SCENARIO'],
  options: {
    nats: { value: 'URL|auto', about: 'one process a service, on this NATS server (auto: start one on loopback)' },
    seed: { value: 'N', about: 'run in virtual time, with the faults of this seed (0: none)' },
    costs: { value: 'FILE|default', about: 'with --seed: what pins, maps, flushes and faults cost, ns by name (JSON)' },
    out: { value: 'DIR', about: 'folder for the run; default runs/TITLE-TIME' },
    sysfs: { value: 'DIR', about: 'show the /sys of the host in this folder, as it is after each step' },
    durability: { value: 'MODE', about: `what the journals survive: ${DURABILITIES.join(', ')}; default process` },
  },
  details: `
A scenario is a YAML file: a machine, processes, and their system calls with the answers that are expected. The schema is
libs/scenario/schema/scenario.schema.json; libs/cli/scenarios/demo.yaml is an example. Without --nats and --seed all services
run in this process.

  vfiolab run libs/cli/scenarios/demo.yaml
  vfiolab run my.yaml --seed 7 --json
  vfiolab run my.yaml --seed 0 --costs default`,
  run: (input, context) => {
    const scenario = loadScenario(input.positionals[0]!);
    return input.given('seed') ? inVirtualTime(input, context, scenario) : inLab(input, context, scenario);
  },
};
