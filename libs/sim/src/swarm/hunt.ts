/**
 * Swarms for campaigns: a seed is run, a share of them twice, and of one that fails the least is found that makes it fail.
 *
 * Rule: what a failing seed tells is enough to run it again.
 */
import { minimise } from '../faults/minimise.js';
import { swarm, type SwarmRun } from './swarm.js';

/** One seed in so many runs twice, and must do the same twice. */
const TWICE_EVERY = 16;
/** Runs that finding the least may take. */
const MOST_RUNS = 250;

/** The invariant's number, or what else the sentence begins with. */
const nameOf = (finding: string): string => finding.split(/[ :]/, 1)[0]!;

export interface SwarmHunted {
  readonly findings: readonly string[];
  readonly counts: Readonly<Record<string, number>>;
  readonly drawn: Readonly<Record<string, unknown>>;
  readonly messages: number;
  readonly virtualSeconds: number;
}

export async function huntSwarm(seed: number): Promise<SwarmHunted> {
  const run = await swarm(seed);
  const findings = [...run.findings, ...(seed % TWICE_EVERY === 0 ? differences(run, await swarm(seed)) : [])];
  const { place, options, counts, messages, virtualSeconds, faults } = run;
  const least = run.findings.length > 0 ? await leastOf(run) : undefined;
  return {
    findings,
    counts: { ...counts, faults: faults.length },
    drawn: { ...place, ...options, ...(least && { faults: least }) },
    messages,
    virtualSeconds,
  };
}

const differences = (one: SwarmRun, two: SwarmRun): string[] =>
  one.hashes
    .filter((each, i) => each !== two.hashes[i])
    .map((each) => `the same seed ends in another state of ${each.split(' ')[0]}`);

async function leastOf({ seed, findings, faults }: SwarmRun): Promise<readonly string[]> {
  const name = nameOf(findings[0]!);
  const fails = async (only: ReadonlySet<string>): Promise<boolean> =>
    (await swarm(seed, { only })).findings.some((finding) => nameOf(finding) === name);
  return (await minimise(faults, fails, MOST_RUNS)).faults;
}
