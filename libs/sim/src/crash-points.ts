/**
 * Crash points: a scenario once for each place where the process of a service can end.
 *
 * Words: a *point* is one moment of one service, counted from 0 over the calm run: before or after a write to its journal,
 * before or after a frame leaves it.
 * Rule: wherever one service is killed, every program gets the answers of the calm run and every service ends in the state
 * of the calm run.
 */
import type { Address } from '@vfiolab/core';
import type { Scenario } from '@vfiolab/scenario';
import { CALM, type SimOptions } from './options.js';
import type { Moment } from './sim-host.js';
import { simulate, type SimResult } from './simulate.js';

export interface CrashPoint {
  readonly service: Address;
  readonly moment: Moment;
}

/** A service that was killed is back after so many ms: more than a way through the network, less than it takes to ask again. */
const DOWN_MS = 5;

const answersOf = ({ scenario }: SimResult): string[] =>
  scenario.transcript.map(({ call, answer }) => JSON.stringify([call, answer]));
const statesOf = ({ end }: SimResult): Map<string, string> =>
  new Map(end.actors.map(({ address, stateHash }) => [address, stateHash]));

/** What another run of the scenario came to that the calm one did not, in words. */
export function differences(calm: SimResult, run: SimResult): string[] {
  const found = [...run.end.broken];
  if (run.scenario.failure) found.push(`answer: ${run.scenario.failure.message}`);
  const [wanted, got] = [answersOf(calm), answersOf(run)];
  const at = wanted.findIndex((answer, i) => answer !== got[i]);
  if (at >= 0) found.push(`answer ${at} is ${got[at]}, and in the calm run ${wanted[at]}`);
  const states = statesOf(run);
  for (const [address, hash] of statesOf(calm))
    if (states.get(address) !== hash) found.push(`${address} ends in another state than in the calm run`);
  return found;
}

export class CrashPoints {
  private constructor(
    private readonly scenario: Scenario,
    private readonly options: SimOptions,
    private readonly calm: SimResult,
    /** In the order in which the calm run comes to them. */
    readonly points: readonly CrashPoint[],
  ) {}

  /**
   * Looks where a scenario's services can end. `snapshotEvery`: inputs between snapshots, which are writes too; 0: there are
   * none. Throws when the scenario does not end as it should by itself.
   */
  static async of(scenario: Scenario, snapshotEvery: number): Promise<CrashPoints> {
    const points: CrashPoint[] = [];
    const options = { ...CALM, snapshotEvery };
    const calm = await simulate(scenario, {
      seed: 0,
      options,
      prepare: (host) => (host.atMoment = (service, moment) => void points.push({ service, moment })),
    });
    const wrong = differences(calm, calm);
    if (wrong.length > 0) throw new Error(`Without any crash: ${wrong.join('; ')}`);
    return new CrashPoints(scenario, options, calm, points);
  }

  /** Kills the service of that point there. Answers what then was otherwise than in the calm run, in words. */
  async kill(nth: number): Promise<string[]> {
    let reached = -1;
    const run = await simulate(this.scenario, {
      seed: 0,
      options: this.options,
      prepare: (host) => (host.atMoment = () => (++reached === nth ? DOWN_MS : undefined)),
    });
    if (reached < nth) return [`the run ends before point ${nth}`];
    return differences(this.calm, run);
  }
}
