/**
 * `vfiolab campaign`: a scenario under many seeds, each with faults of its own.
 *
 * Rule: whatever goes wrong on the way, the answers must be the expected ones, no invariant may break, and every service
 * must end in the state of the calm run.
 */
import type { ActorEnd, Scenario } from '@vfiolab/scenario';
import type { SimResult } from '@vfiolab/sim';
import { type Command, type Context, FAILED, type Input, OK, UsageError } from '../command.js';
import { loadScenario } from '../run-scenario.js';
import { DEMO_FILE } from './demo.js';

/** Seeds of one campaign. */
const MAX_SEEDS = 1_000_000;
/** Failures that are kept; the others are counted. */
const MAX_FAILURES = 100;
/** The seed under which nothing goes wrong. */
const CALM_SEED = 0;

interface Failure {
  readonly seed: number;
  readonly invariant: string;
  /** What the seed had drawn; nothing when the run could not tell. */
  readonly faults: unknown;
}

interface Tally {
  seeds: number;
  violations: number;
  messages: number;
  virtualSeconds: number;
  readonly failures: Failure[];
}

/** `7` or `1-1000`. */
export function seedRange(text: string): { first: number; last: number } {
  const match = /^(\d{1,15})(?:-(\d{1,15}))?$/.exec(text);
  const first = Number(match?.[1]);
  const last = Number(match?.[2] ?? match?.[1]);
  if (!match || last < first)
    throw new UsageError(`--seeds: ${JSON.stringify(text)} is no range. Give A-B with A not above B, or one number.`);
  if (last - first >= MAX_SEEDS)
    throw new UsageError(`--seeds: ${last - first + 1} seeds are too many. Run at most ${MAX_SEEDS} at a time.`);
  return { first, last };
}

const states = (actors: readonly ActorEnd[]): Map<string, string> =>
  new Map(actors.map(({ address, stateHash }) => [address, stateHash]));

/** What a run did wrong; empty when nothing. */
export function violationsOf(
  { scenario, end }: Pick<SimResult, 'scenario' | 'end'>,
  calm: readonly ActorEnd[],
): string[] {
  const found = [...end.broken];
  if (scenario.failure) found.push(`answer: ${scenario.failure.message}`);
  const got = states(end.actors);
  const wanted = states(calm);
  for (const address of new Set([...wanted.keys(), ...got.keys()]))
    if (scenario.ok && got.get(address) !== wanted.get(address))
      found.push(`${address} ends in another state than in the calm run`);
  return found;
}

class Campaign {
  readonly tally: Tally = { seeds: 0, violations: 0, messages: 0, virtualSeconds: 0, failures: [] };

  constructor(
    private readonly context: Context,
    private readonly scenario: Scenario,
    private readonly calm: readonly ActorEnd[],
  ) {}

  async seed(seed: number): Promise<void> {
    const { tally } = this;
    tally.seeds++;
    try {
      const result = await this.context.engine.simulate(this.scenario, { seed });
      tally.messages += result.network.sent;
      tally.virtualSeconds += result.virtualSeconds;
      for (const invariant of violationsOf(result, this.calm)) this.fail({ seed, invariant, faults: result.options });
    } catch (error) {
      this.fail({ seed, invariant: (error as Error).message, faults: null });
    }
  }

  private fail(failure: Failure): void {
    const { tally, context } = this;
    tally.violations++;
    if (tally.failures.length < MAX_FAILURES) tally.failures.push(failure);
    if (!context.json)
      context.terminal.out(`${context.terminal.style('red', `seed ${failure.seed}:`)} ${failure.invariant}`);
  }
}

function report({ terminal, json }: Context, tally: Tally, wallSeconds: number): void {
  const { seeds, violations, messages, virtualSeconds } = tally;
  if (json) return terminal.json({ ...tally, wallSeconds });
  terminal.out(
    `${seeds} seeds, ${violations} violations; ${messages} messages, ${virtualSeconds.toFixed(0)} s of virtual time in ${wallSeconds.toFixed(1)} s.`,
  );
  const first = tally.failures[0];
  if (first) terminal.out(`One seed alone: vfiolab campaign --seeds ${first.seed}`);
}

async function runCampaign(input: Input, context: Context): Promise<number> {
  const seeds = input.text('seeds');
  if (seeds === undefined) throw new UsageError('--seeds is missing. Give a range such as --seeds 1-100.');
  const { first, last } = seedRange(seeds);
  const scenario = loadScenario(input.text('scenario') ?? DEMO_FILE);
  const calm = await context.engine.simulate(scenario, { seed: CALM_SEED });
  if (!calm.scenario.ok)
    throw new UsageError(`The scenario fails though nothing goes wrong: ${calm.scenario.failure?.message}`);
  const began = performance.now();
  const campaign = new Campaign(context, scenario, calm.end.actors);
  for (let seed = first; seed <= last; seed++) {
    context.terminal.progress(`seed ${seed} of ${last}, ${campaign.tally.violations} violations`);
    await campaign.seed(seed);
  }
  report(context, campaign.tally, (performance.now() - began) / 1000);
  return campaign.tally.violations === 0 ? OK : FAILED;
}

export const campaign: Command = {
  name: 'campaign',
  summary: 'run a scenario under many seeds of simulated faults',
  positionals: [],
  options: {
    seeds: { value: 'A-B', about: 'seeds from A to B, or one seed' },
    scenario: { value: 'FILE', about: 'scenario to run; default: that of the demo' },
  },
  details: `
Each seed draws its own mixture of lost, doubled and late messages and of crashes. A seed fails when an answer is not the
expected one, an invariant breaks, or a service ends in another state than it does when nothing goes wrong.

  vfiolab campaign --seeds 1-1000
  vfiolab campaign --seeds 17`,
  run: runCampaign,
};
