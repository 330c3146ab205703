/**
 * A scenario once for each place where the process of a service can end.
 *
 * Words: a *point* is one moment of one service in a run without faults: see faults/crash-points.ts.
 * Rule: wherever one service is killed, every program gets the answers of the calm run and every service ends in the state
 * of the calm run.
 */
import type { Scenario } from '@vfiolab/scenario';
import { CRASH_POINTS, type PlannedCrash } from './faults/crash-points.js';
import { CALM, type SimOptions } from './options.js';
import type { SimHost } from './sim-host.js';
import { simulate, type SimResult } from './simulate.js';

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

/** Everywhere that services came in a run that has ended. */
function pointsOf(host: SimHost): PlannedCrash[] {
  return host.addresses().flatMap((address) =>
    CRASH_POINTS.flatMap((point) =>
      Array.from({ length: host.crashPoints(address).passed[point] }, (_, i) => {
        return { address, point, nth: i + 1, downMs: DOWN_MS };
      }),
    ),
  );
}

export class CrashSweep {
  private constructor(
    private readonly scenario: Scenario,
    private readonly options: SimOptions,
    private readonly calm: SimResult,
    readonly points: readonly PlannedCrash[],
  ) {}

  /**
   * Looks where a scenario's services can end. `snapshotEvery`: inputs between snapshots, from which they then come back; 0:
   * there are none. Throws when the scenario does not end as it should by itself.
   */
  static async of(scenario: Scenario, snapshotEvery: number): Promise<CrashSweep> {
    const options = { ...CALM, snapshotEvery };
    let host!: SimHost;
    const calm = await simulate(scenario, { seed: 0, options, prepare: (made) => (host = made) });
    const wrong = differences(calm, calm);
    if (wrong.length > 0) throw new Error(`Without any crash: ${wrong.join('; ')}`);
    return new CrashSweep(scenario, options, calm, pointsOf(host));
  }

  /** Kills the service of that point there. Answers what then was otherwise than in the calm run, in words. */
  async kill(plan: PlannedCrash): Promise<string[]> {
    let host!: SimHost;
    const run = await simulate(this.scenario, {
      seed: 0,
      options: this.options,
      prepare: (made) => (host = made).planCrash(plan),
    });
    if (host.crashes === this.calm.crashes) return [`${plan.address} does not come ${plan.point} ${plan.nth} times`];
    return differences(this.calm, run);
  }
}
