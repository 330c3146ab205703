/**
 * `--sweep`: many runs of the same files, spread over threads.
 *
 * Words: a *point* is what differs between runs; its options take the place of those that were given.
 * Rule: a point gives the same result on any thread and in any order; results are told in the order of the points.
 */
import { Worker } from 'node:worker_threads';
import { InputError, type PolicyResult, run } from '@vfiolab/cluster';
import { policiesOf, readInput } from './cluster-input.js';
import { type Input, UsageError } from './command.js';

export interface Point {
  readonly policy: string;
  readonly seed: string;
  readonly demand: string | undefined;
}

export type SweepRow = PolicyResult & { readonly seed: number; readonly demand: number | undefined };

/** Options as they were given, which go to a thread. */
export type Given = Readonly<Record<string, string>>;

const MOST_RUNS = 10_000;
const AXES = ['seeds', 'demand', 'policy'] as const;
/** Digits behind the point that a step of a range is true to. */
const DIGITS = 6;

/** `1-10`, `0.8:1.4:0.1`, `a|b`. */
function valuesOf(axis: string, text: string): string[] {
  const whole = /^(\d{1,15})-(\d{1,15})$/.exec(text);
  const steps = /^(\d+(?:\.\d+)?):(\d+(?:\.\d+)?):(\d+(?:\.\d+)?)$/.exec(text);
  const wrong = (why: string) => new UsageError(`--sweep: ${axis}=${text}: ${why}.`);
  if (axis === 'policy' || (!whole && !steps)) return text.split('|').map((each) => each.trim());
  const [from, to, step] = whole ? [Number(whole[1]), Number(whole[2]), 1] : steps!.slice(1).map(Number);
  if (!(step! > 0) || to! < from!) throw wrong('the range has no value');
  const count = Math.floor((to! - from!) / step! + 1e-9) + 1;
  if (count > MOST_RUNS) throw wrong(`more than ${MOST_RUNS} values`);
  return Array.from({ length: count }, (_, i) => String(Number((from! + i * step!).toFixed(DIGITS))));
}

/** Every combination. `given`: what is used for an axis that the sweep does not name. */
export function pointsOf(text: string, given: Input, defaultSeed: number): Point[] {
  const axes = new Map<string, string[]>();
  for (const part of text.split(',')) {
    const [name, value] = part.split('=', 2).map((each) => each.trim());
    if (!AXES.some((axis) => axis === name) || !value)
      throw new UsageError(`--sweep: ${JSON.stringify(part)} is not AXIS=VALUES with ${AXES.join(', ')}.`);
    if (axes.has(name!)) throw new UsageError(`--sweep: ${name} is there twice.`);
    axes.set(name!, valuesOf(name!, value));
  }
  const policies = policiesOf(axes.get('policy')?.join() ?? given.text('policy') ?? '').map(({ name }) => name);
  const demands = axes.get('demand') ?? [given.text('demand')];
  const seeds = axes.get('seeds') ?? [given.text('seed') ?? String(defaultSeed)];
  if (policies.length * demands.length * seeds.length > MOST_RUNS)
    throw new UsageError(`--sweep: ${policies.length * demands.length * seeds.length} runs: at most ${MOST_RUNS}.`);
  return policies.flatMap((policy) => demands.flatMap((demand) => seeds.map((seed) => ({ policy, demand, seed }))));
}

/** Throws UsageError. */
export function runPoint(given: Given, { policy, seed, demand }: Point): SweepRow {
  const options: Given = { ...given, seed, ...(demand !== undefined && { demand }) };
  const input: Input = {
    positionals: [],
    text: (option) => options[option],
    given: (option) => options[option] !== undefined,
  };
  const [chosen] = policiesOf(policy);
  const read = readInput(input);
  try {
    const tally = run(read, chosen!).tally();
    return { policy, seed: read.seed, demand: demand === undefined ? undefined : Number(demand), ...tally };
  } catch (error) {
    if (error instanceof InputError) throw new UsageError(`${error.message}.`);
    throw error;
  }
}

/** What a thread says of a point. */
export type PointSaid = { readonly row: SweepRow } | { readonly problem: string };

/** All points; with one thread, this one. `heard` hears how many are done. Throws UsageError. */
export async function sweep(
  given: Given,
  points: readonly Point[],
  threads: number,
  heard: (done: number) => void,
): Promise<SweepRow[]> {
  const rows: SweepRow[] = [];
  if (threads === 1) {
    for (const [i, point] of points.entries()) {
      heard(i);
      rows.push(runPoint(given, point));
    }
    return rows;
  }
  let next = 0;
  let done = 0;
  const take = (): number | undefined => (next < points.length ? next++ : undefined);
  const tell = (index: number, said: PointSaid): void => {
    if ('problem' in said) throw new UsageError(said.problem);
    rows[index] = said.row;
    heard(++done);
  };
  const count = Math.min(threads, points.length);
  await Promise.all(Array.from({ length: count }, () => runThread(given, points, take, tell)));
  return rows;
}

function runThread(
  given: Given,
  points: readonly Point[],
  take: () => number | undefined,
  tell: (index: number, said: PointSaid) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./cluster-sweep-worker.js', import.meta.url), { workerData: given });
    let at: number | undefined;
    const more = (): void => worker.postMessage((at = take()) === undefined ? undefined : points[at]);
    worker.on('message', (said: PointSaid) => {
      try {
        tell(at!, said);
        more();
      } catch (error) {
        void worker.terminate();
        reject(error as Error);
      }
    });
    worker.on('error', reject);
    worker.on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`a thread ended with code ${code}`))));
    more();
  });
}

const COLUMNS = [
  ...['policy', 'demand', 'seed', 'pods', 'placed', 'unschedulable', 'refused', 'refusals'],
  ...['gpuAllocation', 'cpuAllocation', 'gpuDemand', 'hostsUsed'],
] as const;

/** A line a run. */
export const sweepCsv = (rows: readonly SweepRow[]): string =>
  [COLUMNS.join(), ...rows.map((row) => COLUMNS.map((column) => row[column as keyof SweepRow] ?? '').join())]
    .join('\n')
    .concat('\n');

/** A row for each policy and demand: mean and standard deviation over the seeds. */
export function sweepTable(rows: readonly SweepRow[]): string[][] {
  const kinds = new Map<string, SweepRow[]>();
  for (const row of rows) {
    const key = `${row.policy} ${row.demand ?? ''}`;
    kinds.set(key, [...(kinds.get(key) ?? []), row]);
  }
  const lines = [...kinds.values()].map((same) => {
    const of = (value: (row: SweepRow) => number): { mean: number; deviation: number } => {
      const mean = same.reduce((sum, row) => sum + value(row), 0) / same.length;
      const squares = same.reduce((sum, row) => sum + (value(row) - mean) ** 2, 0);
      return { mean, deviation: same.length < 2 ? 0 : Math.sqrt(squares / (same.length - 1)) };
    };
    const gpus = of((row) => row.gpuAllocation);
    return [
      same[0]!.policy,
      same[0]!.demand === undefined ? '' : String(same[0]!.demand),
      String(same.length),
      gpus.mean.toFixed(2),
      gpus.deviation.toFixed(2),
      of((row) => row.placed).mean.toFixed(1),
      of((row) => row.unschedulable).mean.toFixed(1),
      of((row) => row.refused).mean.toFixed(1),
    ];
  });
  return [['policy', 'demand', 'runs', 'GPUs %', 'sd', 'placed', 'unschedulable', 'refused'], ...lines];
}
