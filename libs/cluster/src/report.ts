/** What a run came to, as files and tables. */
import type { Run, Tally } from './run.js';

/** A CSV cell: quoted only where it must be. */
const cell = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/** Characters of a part of the file. */
const PART = 64 * 1024;

/** `placements.csv` in parts, a line a pod: `pod,node,reason`; no node: it is on none. */
export function* placementsCsv(run: Run): Generator<string> {
  let part = 'pod,node,reason\n';
  for (const { pod, node, reason } of run.decisions()) {
    part += `${cell(pod)},${cell(node ?? '')},${cell(reason)}\n`;
    if (part.length < PART) continue;
    yield part;
    part = '';
  }
  yield part;
}

export interface PolicyResult extends Tally {
  readonly policy: string;
}

const percent = (value: number): string => value.toFixed(2);

const COLUMNS: readonly (readonly [string, (result: PolicyResult) => string])[] = [
  ['policy', ({ policy }) => policy],
  ['pods', ({ pods }) => String(pods)],
  ['placed', ({ placed }) => String(placed)],
  ['unschedulable', ({ unschedulable }) => String(unschedulable)],
  ['refused', ({ refused }) => String(refused)],
  ['refusals', ({ refusals }) => String(refusals)],
  ['GPUs %', ({ gpuAllocation }) => percent(gpuAllocation)],
  ['CPUs %', ({ cpuAllocation }) => percent(cpuAllocation)],
  ['hosts', ({ hostsUsed }) => String(hostsUsed)],
];

/** Policies beside one another, in lines of equal columns; the first line is the head. */
export function comparison(results: readonly PolicyResult[]): string[] {
  const rows = [COLUMNS.map(([title]) => title), ...results.map((each) => COLUMNS.map(([, of]) => of(each)))];
  const widths = COLUMNS.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const pad = (text: string, column: number): string =>
    column === 0 ? text.padEnd(widths[0]!) : text.padStart(widths[column]!);
  return rows.map((row) => row.map(pad).join('  '));
}
