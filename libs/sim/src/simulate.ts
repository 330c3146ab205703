/**
 * One run of a scenario under one seed, in two phases: trouble, then a healed host that must finish and be clean.
 *
 * Rule: same scenario, same seed: same run, to the bit.
 */
import { runScenario, type Scenario, type ScenarioResult } from '@vfiolab/scenario';
import type { RunEnd } from '@vfiolab/scenario';
import { SimEnvironment } from './environment.js';
import type { NetworkFigures } from './network.js';
import { drawOptions, type SimOptions } from './options.js';
import { SimHost } from './sim-host.js';
import type { WorkFigures } from './work.js';
import type { Costs } from './costs.js';

export interface SimResult {
  readonly seed: number;
  readonly options: SimOptions;
  readonly scenario: ScenarioResult;
  readonly end: RunEnd;
  readonly network: NetworkFigures;
  readonly crashes: number;
  /** What there was to do, when work has a cost. */
  readonly work?: WorkFigures;
  /** Virtual time of the run, s. */
  readonly virtualSeconds: number;
}

/** A run that has not ended after this much virtual time is stuck: a finding. */
const PATIENCE_MS = 3_600_000;
/** Trouble ends here; what is under way then must come to its end. */
const TROUBLE_MS = 600_000;

export class Stuck extends Error {}

export interface SimulateOptions {
  readonly seed: number;
  readonly options?: SimOptions;
  readonly costs?: Costs;
  /** Looks at the host before anything happens on it. */
  readonly prepare?: (host: SimHost) => void;
}

export async function simulate(
  scenario: Scenario,
  { seed, costs, options = { ...drawOptions(seed), ...(costs && { costs }) }, prepare }: SimulateOptions,
): Promise<SimResult> {
  const host = new SimHost(seed, options);
  prepare?.(host);
  const env = new SimEnvironment(host);
  host.agenda.after(TROUBLE_MS, () => {
    host.network.healed = true;
    host.plan.clear();
  });
  const result = await drive(host, runScenario(scenario, env));
  host.network.healed = true;
  await drive(host, settle(host));
  const end = await env.end();
  const { figures } = host.network;
  return {
    seed,
    options,
    scenario: result,
    end,
    network: figures,
    crashes: host.crashes,
    ...(host.work && { work: host.work.figures }),
    virtualSeconds: host.agenda.now / 1000,
  };
}

/** Moves virtual time until the work is done. Programs get all their turns between two events. */
export async function drive<T>(host: SimHost, work: Promise<T>): Promise<T> {
  let done = false;
  const finished = (): void => void (done = true);
  work.then(finished, finished);
  while (!done) {
    if (host.takeTouched()) await programsWait();
    if (done) break;
    if (!host.agenda.step() || host.agenda.now > PATIENCE_MS)
      throw new Stuck(`seed ${host.dice.seed}: stuck at ${host.agenda.now} ms`);
    if (host.failures.length > 0) throw new Error(host.failures.join('\n'));
  }
  return work;
}

/** The event loop's macrotask comes after every promise that can go on. */
const programsWait = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Waits until no operation is in flight anywhere. */
async function settle(host: SimHost): Promise<void> {
  do {
    await new Promise<void>((resolve) =>
      host.agenda.after(100, () => {
        host.touch();
        resolve();
      }),
    );
  } while (host.busy);
}
