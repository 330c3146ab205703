/**
 * A scenario once for each place where the process of a service can end, or its disk be full.
 *
 * Words: a *point* is one moment of one service in a run without faults: see faults/crash-points.ts. At the point `full disk`
 * the journal cannot be written for a while.
 * Rule: wherever one service is in trouble once, every program gets the answers of the calm run and every service ends in the
 * state of the calm run.
 */
import type { Scenario } from '@vfiolab/scenario';
import { CRASH_POINTS, type CrashPoint, type PlannedCrash } from './faults/crash-points.js';
import { CALM, type SimOptions } from './options.js';
import type { SimHost } from './sim-host.js';
import { simulate, type SimResult } from './simulate.js';

/** A service that was killed is back after so many ms: more than a way through the network, less than it takes to ask again. */
const DOWN_MS = 5;
/** A disk that was full has room again after so many ms: clients ask again meanwhile. */
const FULL_MS = 450;

export interface SweepPoint extends Omit<PlannedCrash, 'point'> {
  readonly point: CrashPoint | 'full disk';
}

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
function pointsOf(host: SimHost): SweepPoint[] {
  return host.addresses().flatMap((address) => {
    const { passed } = host.crashPoints(address);
    const all = (point: SweepPoint['point'], length: number, downMs: number): SweepPoint[] =>
      Array.from({ length }, (_, i) => ({ address, point, nth: i + 1, downMs }));
    return [
      ...CRASH_POINTS.flatMap((point) => all(point, passed[point], DOWN_MS)),
      ...all('full disk', passed['before writing'], FULL_MS),
    ];
  });
}

/** What one trouble came to. */
export interface Troubled {
  /** What was otherwise than in the calm run, in words. */
  readonly findings: readonly string[];
  readonly messages: number;
  readonly virtualSeconds: number;
}

export class Sweep {
  private constructor(
    private readonly scenario: Scenario,
    private readonly options: SimOptions,
    private readonly calm: SimResult,
    readonly points: readonly SweepPoint[],
  ) {}

  /**
   * Looks where a scenario's services can be in trouble. `snapshotEvery`: inputs between snapshots, from which they then come back; 0:
   * there are none. Throws when the scenario does not end as it should by itself.
   */
  static async of(scenario: Scenario, snapshotEvery: number): Promise<Sweep> {
    const options = { ...CALM, snapshotEvery };
    let host!: SimHost;
    const calm = await simulate(scenario, { seed: 0, options, prepare: (made) => (host = made) });
    const wrong = differences(calm, calm);
    if (wrong.length > 0) throw new Error(`Without any crash: ${wrong.join('; ')}`);
    return new Sweep(scenario, options, calm, pointsOf(host));
  }

  /** Troubles the service there. */
  async trouble({ address, point, nth, downMs }: SweepPoint): Promise<Troubled> {
    let host!: SimHost;
    const run = await simulate(this.scenario, {
      seed: 0,
      options: this.options,
      prepare: (made) => {
        host = made;
        if (point === 'full disk') host.planFullDisk({ address, nth, downMs });
        else host.planCrash({ address, point, nth, downMs });
      },
    });
    const { network, virtualSeconds } = run;
    const findings = host.planned ? [`${address} does not come to ${point} ${nth}`] : differences(this.calm, run);
    return { findings, messages: network.sent, virtualSeconds };
  }
}
