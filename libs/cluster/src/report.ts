/** What a run came to, as files and tables. */
import type { Decision, Tally } from './run.js';
import type { Sample, TimelineTally } from './timeline-statistics.js';

/** A CSV cell: quoted only where it must be. */
const cell = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/** Characters of a part of the file. */
const PART = 64 * 1024;

/** `placements.csv` in parts, a line a pod: `pod,node,reason`; no node: it is on none. */
export const placementsCsv = (decisions: Iterable<Decision>): Generator<string> =>
  inParts('pod,node,reason', decisions, ({ pod, node, reason }) => [pod, node ?? '', reason]);

/** `devices.csv`, a line a pod that was given any: `pod,node,devices`, with spaces between devices. */
export const devicesCsv = (decisions: Iterable<Decision>): Generator<string> =>
  inParts('pod,node,devices', decisions, ({ pod, node, devices }) =>
    devices.length > 0 ? [pod, node ?? '', devices.join(' ')] : undefined,
  );

function* inParts(
  head: string,
  decisions: Iterable<Decision>,
  row: (decision: Decision) => readonly string[] | undefined,
): Generator<string> {
  let part = `${head}\n`;
  for (const decision of decisions) {
    const cells = row(decision);
    if (cells) part += `${cells.map(cell).join()}\n`;
    if (part.length < PART) continue;
    yield part;
    part = '';
  }
  yield part;
}

/** `timeline.csv`: the cluster at equal distances of time. */
export function timelineCsv(samples: readonly Sample[]): string {
  const lines = samples.map(({ time, running, waiting, gpuAllocation, hostsDown, devicesOut }) =>
    [time.toFixed(3), running, waiting, gpuAllocation.toFixed(3), hostsDown, devicesOut].join(),
  );
  return `${['time,running,waiting,gpu_allocation,hosts_down,devices_out', ...lines].join('\n')}\n`;
}

/** Of one policy. */
export type PolicyResult = Tally & { readonly policy: string };
export type TimedResult = TimelineTally & { readonly policy: string };

const percent = (value: number): string => value.toFixed(2);
const seconds = (value: number): string => value.toFixed(1);

type Columns<Result> = readonly (readonly [string, (result: Result) => string | number])[];

const COLUMNS: Columns<PolicyResult> = [
  ['policy', ({ policy }) => policy],
  ['pods', ({ pods }) => pods],
  ['placed', ({ placed }) => placed],
  ['unschedulable', ({ unschedulable }) => unschedulable],
  ['refused', ({ refused }) => refused],
  ['refusals', ({ refusals }) => refusals],
  ['GPUs %', ({ gpuAllocation }) => percent(gpuAllocation)],
  ['CPUs %', ({ cpuAllocation }) => percent(cpuAllocation)],
  ['hosts', ({ hostsUsed }) => hostsUsed],
];

const TIMED_COLUMNS: Columns<TimedResult> = [
  ['policy', ({ policy }) => policy],
  ['pods', ({ pods }) => pods],
  ['started', ({ started }) => started],
  ['waiting', ({ waitingAtEnd }) => waitingAtEnd],
  ['refusals', ({ refusals }) => refusals],
  ['restarts', ({ restarts }) => restarts],
  ['migrations', ({ migrations }) => migrations],
  ['GPUs %', ({ gpuAllocation }) => percent(gpuAllocation)],
  ['peak %', ({ gpuPeak }) => percent(gpuPeak)],
  ['wait s', ({ wait }) => seconds(wait.mean)],
  ['p99', ({ wait }) => seconds(wait.p99)],
  ['start s', ({ startup }) => seconds(startup.mean)],
  ['p99', ({ startup }) => seconds(startup.p99)],
];

/** Policies beside one another; the first row is the head. */
export const comparisonRows = (results: readonly PolicyResult[]): string[][] => rowsOf(COLUMNS, results);
export const timedComparisonRows = (results: readonly TimedResult[]): string[][] => rowsOf(TIMED_COLUMNS, results);

const rowsOf = <Result>(columns: Columns<Result>, results: readonly Result[]): string[][] => [
  columns.map(([title]) => title),
  ...results.map((each) => columns.map(([, of]) => String(of(each)))),
];

/** The same in lines of equal columns. */
export const comparison = (results: readonly PolicyResult[]): string[] => inLines(comparisonRows(results));
export const timedComparison = (results: readonly TimedResult[]): string[] => inLines(timedComparisonRows(results));

/** Rows in lines of equal columns, of which the first is to the left. */
export function inLines(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const pad = (text: string, column: number): string =>
    column === 0 ? text.padEnd(widths[0]!) : text.padStart(widths[column]!);
  return rows.map((row) => row.map(pad).join('  '));
}
