/**
 * `vfiolab campaign`: a scenario under many seeds, each with faults of its own; or hunts for mistakes, each with calls of
 * its own.
 *
 * Rule: whatever goes wrong on the way, the answers must be the expected ones, no invariant may break, and every service
 * must end in the state of the calm run. A hunt judges itself.
 */
import { type ActorEnd, type Scenario, suggestion } from '@vfiolab/scenario';
import type { Hunted, HuntedSeed, SimResult } from '@vfiolab/sim';
import { type Command, type Context, FAILED, type Input, OK, UsageError, wholeNumber } from '../command.js';
import { type Engine, type Mix, MIXES } from '../engine.js';
import type { Style } from '../terminal.js';
import { loadScenario } from '../run-scenario.js';
import { DEMO_FILE } from './demo.js';

/** Seeds of one campaign. */
const MAX_SEEDS = 1_000_000;
/** Failures that are kept; the others are counted. */
const MAX_FAILURES = 100;
/** Threads of one campaign. */
const MAX_THREADS = 64;
/** Mixes that run a scenario; the others make calls of their own. */
const OF_SCENARIOS = ['faults', 'crash-points'] as const;
const isHunt = (mix: Mix): mix is HuntMix => !(OF_SCENARIOS as readonly Mix[]).includes(mix);
/** The seed under which nothing goes wrong. */
const CALM_SEED = 0;
/** Inputs between snapshots, so that services come back from some. */
const SNAPSHOT_EVERY = 8;

interface Failure {
  readonly seed: number;
  readonly invariant: string;
  /** What the seed had drawn; nothing when the run could not tell. */
  readonly faults: unknown;
}

interface Tally {
  readonly mix: Mix;
  seeds: number;
  violations: number;
  messages: number;
  virtualSeconds: number;
  /** What a hunt did: calls, failures that were made to happen, races. */
  readonly counts: Record<string, number>;
  readonly failures: Failure[];
}

/** What one seed came to. */
interface Outcome {
  readonly violations: readonly string[];
  readonly faults: unknown;
  readonly counts: Readonly<Record<string, number>>;
  readonly messages: number;
  readonly virtualSeconds: number;
}
type HuntMix = Exclude<Mix, (typeof OF_SCENARIOS)[number]>;
type RunSeed = (seed: number) => Promise<Outcome>;

interface Plan {
  readonly mix: Mix;
  readonly first: number;
  readonly last: number;
  readonly run: RunSeed;
  readonly threads: number;
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

/** A seed of the scenario; throws UsageError when the scenario fails though nothing goes wrong. */
async function faultsOf(engine: Engine, scenario: Scenario): Promise<RunSeed> {
  const calm = await engine.simulate(scenario, { seed: CALM_SEED });
  if (!calm.scenario.ok)
    throw new UsageError(`The scenario fails though nothing goes wrong: ${calm.scenario.failure?.message}`);
  return async (seed) => {
    const result = await engine.simulate(scenario, { seed });
    const violations = violationsOf(result, calm.end.actors);
    const { virtualSeconds, network, options: faults } = result;
    return { violations, faults, counts: {}, messages: network.sent, virtualSeconds };
  };
}

/** Each point of the scenario, counted from 1, as if it were a seed. */
async function pointsOf(engine: Engine, scenario: Scenario): Promise<{ count: number; run: RunSeed }> {
  const sweep = await engine.sweep(scenario, SNAPSHOT_EVERY);
  const run: RunSeed = async (n) => {
    const { address, point, nth } = sweep.points[n - 1]!;
    const { findings: violations, messages, virtualSeconds } = await sweep.trouble(sweep.points[n - 1]!);
    return { violations, faults: `${address} ${point} ${nth}`, counts: {}, messages, virtualSeconds };
  };
  return { count: sweep.points.length, run };
}

const outcomeOf = ({ findings: violations, drawn: faults, ...rest }: Hunted): Outcome => ({
  violations,
  faults,
  ...rest,
});

const huntOf =
  (engine: Engine, mix: HuntMix): RunSeed =>
  async (seed) =>
    outcomeOf(await engine.hunt(mix, seed));

class Campaign {
  readonly tally: Tally;

  constructor(
    private readonly context: Context,
    mix: Mix,
  ) {
    this.tally = { mix, seeds: 0, violations: 0, messages: 0, virtualSeconds: 0, counts: {}, failures: [] };
  }

  async seed(seed: number, run: RunSeed): Promise<void> {
    try {
      this.add(seed, await run(seed));
    } catch (error) {
      this.stopped(seed, (error as Error).message);
    }
  }

  /** From another thread. */
  heard(heard: HuntedSeed): void {
    if ('stopped' in heard) this.stopped(heard.seed, heard.stopped);
    else this.add(heard.seed, outcomeOf(heard.hunted));
  }

  private add(seed: number, { violations, faults, counts, messages, virtualSeconds }: Outcome): void {
    const { tally } = this;
    tally.seeds++;
    tally.messages += messages;
    tally.virtualSeconds += virtualSeconds;
    for (const [what, count] of Object.entries(counts)) tally.counts[what] = (tally.counts[what] ?? 0) + count;
    for (const invariant of violations) this.fail({ seed, invariant, faults });
    if (violations.length > 0) this.say('dim', `seed ${seed}`, `drew ${JSON.stringify(faults)}`);
  }

  private stopped(seed: number, invariant: string): void {
    this.tally.seeds++;
    this.fail({ seed, invariant, faults: null });
  }

  private fail(failure: Failure): void {
    const { tally } = this;
    tally.violations++;
    if (tally.failures.length < MAX_FAILURES) tally.failures.push(failure);
    this.say('red', `seed ${failure.seed}:`, failure.invariant);
  }

  private say(style: Style, what: string, text: string): void {
    const { json, terminal } = this.context;
    if (!json) terminal.out(`${terminal.style(style, what)} ${text}`);
  }
}

/** How far it is: which seed, what was done, how fast. */
function progressOf({ seeds, violations, counts }: Tally, all: number, seconds: number): string {
  const calls = counts['calls'] === undefined ? [] : [`${counts['calls']} calls`];
  const left = Math.ceil((seconds / seeds) * (all - seeds));
  const rate = seconds > 0 ? [`${(seeds / seconds).toFixed(1)} seeds/s`, `${left} s left`] : [];
  return [`seed ${seeds} of ${all}`, ...calls, `${violations} violations`, ...rate].join(', ');
}

function report({ terminal, json }: Context, tally: Tally, wallSeconds: number): void {
  const { mix, seeds, violations, counts, messages, virtualSeconds } = tally;
  if (json) return terminal.json({ ...tally, wallSeconds });
  const done = Object.entries(counts).map(([what, count]) => `${count} ${what}`);
  terminal.out(
    `${[`${seeds} seeds, ${violations} violations`, ...done].join(', ')}; ${messages} messages, ${virtualSeconds.toFixed(0)} s of virtual time in ${wallSeconds.toFixed(1)} s.`,
  );
  const first = tally.failures[0];
  const which = mix === 'faults' ? '' : ` --mix ${mix}`;
  if (first) terminal.out(`One seed alone: vfiolab campaign${which} --seeds ${first.seed}`);
}

function mixOf(text: string): Mix {
  const mix = MIXES.find((each) => each === text);
  if (!mix) throw new UsageError(`--mix: there is no ${JSON.stringify(text)}. ${suggestion(text, MIXES)}`);
  return mix;
}

/** What is to be run; throws UsageError. */
async function planOf(input: Input, { engine }: Context): Promise<Plan> {
  const mix = mixOf(input.text('mix') ?? 'faults');
  const text = input.text('seeds');
  if (text === undefined && mix !== 'crash-points')
    throw new UsageError('--seeds is missing. Give a range such as --seeds 1-100.');
  const range = text === undefined ? undefined : seedRange(text);
  const threads = wholeNumber('threads', input.text('threads') ?? '1', MAX_THREADS);
  if (isHunt(mix)) {
    if (input.given('scenario'))
      throw new UsageError(`--scenario: --mix ${mix} makes its own calls. Leave one of the two out.`);
    return { mix, ...range!, run: huntOf(engine, mix), threads };
  }
  if (threads > 1)
    throw new UsageError(`--threads: the mix ${mix} runs on one thread. Leave it out, or choose another mix.`);
  const scenario = loadScenario(input.text('scenario') ?? DEMO_FILE);
  if (mix === 'faults') return { mix, ...range!, run: await faultsOf(engine, scenario), threads };
  const { count, run } = await pointsOf(engine, scenario);
  const { first, last } = range ?? { first: 1, last: count };
  if (first < 1 || last > count)
    throw new UsageError(`--seeds: the scenario has points 1 to ${count}. Leave it out for all of them.`);
  return { mix, first, last, run, threads };
}

async function runCampaign(input: Input, context: Context): Promise<number> {
  const { engine, terminal } = context;
  const { mix, first, last, run, threads } = await planOf(input, context);
  const began = performance.now();
  const campaign = new Campaign(context, mix);
  const progress = (): void => {
    const now = performance.now();
    terminal.longProgress(progressOf(campaign.tally, last - first + 1, (now - began) / 1000), now);
  };
  if (isHunt(mix) && threads > 1)
    await engine.huntMany({ which: mix, first, last, threads }, (heard) => {
      campaign.heard(heard);
      progress();
    });
  else
    for (let seed = first; seed <= last; seed++) {
      await campaign.seed(seed, run);
      progress();
    }
  report(context, campaign.tally, (performance.now() - began) / 1000);
  return campaign.tally.violations === 0 ? OK : FAILED;
}

export const campaign: Command = {
  name: 'campaign',
  summary: 'run a scenario under many seeds of simulated faults, or hunt for mistakes',
  positionals: [],
  options: {
    seeds: { value: 'A-B', about: 'seeds from A to B, or one seed' },
    mix: { value: 'NAME', about: `${MIXES.join(', ')}; default: ${MIXES[0]}` },
    scenario: { value: 'FILE', about: 'scenario of faults and crash-points; default: that of the demo' },
    threads: { value: 'N', about: 'threads, for mixes without a scenario; default: 1' },
  },
  details: `
With the mix faults, each seed draws its own mixture of lost, doubled and late messages and of crashes. A seed fails when
an answer is not the expected one, an invariant breaks, or a service ends in another state than it does when nothing goes
wrong. With crash-points a seed is the number of a point of the scenario (left out: all of them): each service is killed once
before, in and after every write to its journal, before and after every frame it sends, and at every frame it takes, and its
disk is full once at every write; it fails for the same reasons. The other mixes hunt for mistakes on hosts of their own, of every kernel profile in turn:

  swarm      programs that call anything, and some of which everything is known, while DMA goes on and everything goes
             wrong: lost, doubled, late and held messages, one-way cuts, crashes at any record, full and slow disks, pauses,
             losses of power, clocks that jump, killed programs; then all must come to rest with nothing left
  day        24 hours of virtual time on one lab, with fewer of the same faults: memory grows by no more than 5 %
  fuzz       10,000 calls with random arguments: none stops a service, a refused one changes nothing
  fail-nth   two programs, again and again, and each time another step of theirs fails: nothing is left over
  races      every two calls of a stage at nearly the same time
  linearise  8 clients on one address space: some order of their calls explains every answer
  vfio       random programs on groups, containers, devices and drivers of a machine, killed at random, with DMA all the time
             and faults as above: every invariant holds after each step, and nothing is left when all have ended

A seed of the swarm that fails names the faults that it takes, found by leaving out the others.
With --json the report is {"mix", "seeds", "violations", "messages", "virtualSeconds", "counts", "failures": [{"seed",
"invariant", "faults"}], "wallSeconds"}; counts says what a hunt did, such as {"calls", "refused"}.

  vfiolab campaign --seeds 1-1000
  vfiolab campaign --seeds 17
  vfiolab campaign --mix crash-points --scenario my.yaml
  vfiolab campaign --mix swarm --seeds 1-100000 --threads 2`,
  run: runCampaign,
};
