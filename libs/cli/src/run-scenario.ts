/**
 * Runs a scenario in a lab of its own and seals the run: what `run` and `demo` share.
 *
 * Rule: the lab is ended whatever happens, so its journals are complete and no process stays behind.
 */
import { readFileSync } from 'node:fs';
import {
  type Environment,
  type Observer,
  readScenarioFile,
  type RunEnd,
  runScenario,
  type Scenario,
  ScenarioError,
  type ScenarioResult,
} from '@vfiolab/scenario';
import { UsageError } from './command.js';
import type { Durability, Engine } from './engine.js';

export interface Where {
  readonly dir: string;
  readonly durability: Durability;
  /** Server for one process a service; undefined: all in this process. */
  readonly nats: string | undefined;
  /** Folder that follows the host's /sys. */
  readonly sysfs?: string | undefined;
  /** Told where others can reach the lab, when they can. */
  readonly started?: (url: string) => void;
}

export interface FinishedRun {
  readonly dir: string;
  readonly mode: 'embedded' | 'nats';
  readonly result: ScenarioResult;
  readonly end: RunEnd;
  readonly seconds: number;
}

export const isGood = ({ result, end }: Pick<FinishedRun, 'result' | 'end'>): boolean =>
  result.ok && end.broken.length === 0;

/** Throws UsageError with every problem of the file. */
export function loadScenario(file: string): Scenario {
  try {
    return readScenarioFile(file);
  } catch (error) {
    if (error instanceof ScenarioError) throw new UsageError(error.message);
    throw error;
  }
}

export async function runInLab(
  engine: Engine,
  scenario: Scenario,
  where: Where,
  observer: Observer,
): Promise<FinishedRun> {
  const { dir, durability, nats } = where;
  const began = performance.now();
  const environment =
    nats === undefined
      ? await engine.startEmbedded({ dir, durability, record: true })
      : await engine.startNats({ dir, durability, url: nats });
  if (environment.url !== undefined) where.started?.(environment.url);
  const { sysfs } = where;
  const watching = sysfs === undefined ? observer : followSysfs(engine, environment, sysfs, observer);
  const { result, end } = await runAndEnd(scenario, environment, watching);
  const mode = nats === undefined ? 'embedded' : 'nats';
  const meta = { title: scenario.title, mode, durability, scenario: readFileSync(scenario.file, 'utf8') } as const;
  if (durability !== 'none') await engine.writeManifest(dir, meta, end);
  return { dir, mode, result, end, seconds: (performance.now() - began) / 1000 };
}

/** The observer, who also keeps an export of the host's /sys up to date. It is begun when there is a host. */
function followSysfs(engine: Engine, environment: Environment, out: string, observer: Observer): Observer {
  let shown: ReturnType<Engine['exportSysfs']> | undefined;
  const update = async (): Promise<void> => {
    shown ??= engine.exportSysfs(environment, out);
    await (await shown).update();
  };
  return {
    hostMade: (host) => observer.hostMade?.(host),
    stepBegins: (step, call) => observer.stepBegins?.(step, call),
    stepEnds: (entry) => observer.stepEnds?.(entry),
    settled: update,
  };
}

async function runAndEnd(
  scenario: Scenario,
  environment: Environment,
  observer: Observer,
): Promise<{ result: ScenarioResult; end: RunEnd }> {
  let result: ScenarioResult;
  try {
    result = await runScenario(scenario, environment, observer);
  } catch (error) {
    await environment.end();
    throw error;
  }
  return { result, end: await environment.end() };
}
