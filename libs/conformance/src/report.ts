/**
 * The report of a run over many traces: for programs, and for people.
 *
 * Words: a *group* is one machine, kernel and family of programs; a *cause* is what mismatches have in common.
 * Rule: counts cover everything; lists are cut at their bounds, and only lists are.
 */
import { DEVIATIONS } from './deviations.js';
import type { Mismatch, TraceReport } from './run-trace.js';
import type { Json } from './trace.js';

/** Mismatches in the report. */
export const MAX_MISMATCHES = 100;
/** Causes that are kept; further ones are counted as one. */
const MAX_CAUSES = 10_000;

/** The report for programs. */
export interface ConformanceReport {
  readonly traces: number;
  readonly tracesMatched: number;
  readonly steps: number;
  readonly stepsMatched: number;
  readonly mismatches: readonly PlainMismatch[];
  /** What the lab answers otherwise on purpose (deviations.ts), when there was any: such steps are in no other count. */
  readonly deviations?: readonly DeviationCount[];
}

export interface DeviationCount {
  readonly name: string;
  readonly reason: string;
  readonly steps: number;
  /** Traces that differ in nothing else. */
  readonly traces: number;
  /** A trace and step to look at. */
  readonly example: string;
}

export type PlainMismatch = Pick<Mismatch, 'trace' | 'step' | 'field' | 'expected' | 'got'>;

interface Counts {
  traces: number;
  tracesMatched: number;
  steps: number;
  stepsMatched: number;
}

export interface Cause {
  readonly cause: string;
  /** Steps that it spoilt. */
  readonly count: number;
  /** Traces in which it is what went wrong first. */
  readonly first: number;
  /** A trace and step to look at. */
  readonly example: string;
}

const zero = (): Counts => ({ traces: 0, tracesMatched: 0, steps: 0, stepsMatched: 0 });

function add(to: Counts, report: TraceReport): void {
  to.traces++;
  to.steps += report.steps;
  to.stepsMatched += report.stepsMatched;
  if (report.mismatches.length + report.deviations.length === 0) to.tracesMatched++;
}

/** The result that tells most about a step that differs. */
const TELLING = ['lab', 'errno', 'ret', 'out', 'data'];
const REQUEST = /\b(?:VFIO|IOMMU)_[A-Z0-9_]+\b/;

const brief = (value: Json): string =>
  typeof value === 'string' ? value.slice(0, 60) : value === null ? 'none' : 'a value';

const ADDRESS = /[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]/g;
const UUID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g;

/** The request, or the call with its path; addresses of functions and UUIDs are alike. */
function callOf(words: string): string {
  const request = REQUEST.exec(words)?.[0];
  if (request !== undefined) return request;
  const [call, first = ''] = words.split(/[(,)]/, 2);
  return first.startsWith('/') ? `${call} ${first.replace(ADDRESS, 'BDF').replace(UUID, 'UUID')}` : call!;
}

function causeOf(mismatch: Mismatch): string {
  if (mismatch.lacks !== undefined) return `not in the lab: ${mismatch.lacks}`;
  const { field, expected, got } = mismatch;
  const call = callOf(mismatch.words.replace(/^\w+: /, ''));
  const what = field === 'errno' || field === 'lab' ? `${brief(expected)}, got ${brief(got)}` : 'another value';
  return `${call}: ${field}: ${what}`;
}

/** Adds up trace reports. */
export class Tally {
  readonly total = zero();
  readonly groups = new Map<string, Counts>();
  readonly mismatches: Mismatch[] = [];
  private readonly deviating = new Map<string, { steps: number; traces: number; example: string }>();
  private readonly counted = new Map<string, { count: number; first: number; example: string }>();

  add(group: string, report: TraceReport): void {
    add(this.total, report);
    const counts = this.groups.get(group) ?? zero();
    this.groups.set(group, counts);
    add(counts, report);
    const room = MAX_MISMATCHES - this.mismatches.length;
    this.mismatches.push(...report.mismatches.slice(0, Math.max(0, room)));
    for (const { name, step } of report.deviations) this.addDeviation(name, report, step);
    bySteps(report.mismatches).forEach((step, i) => this.count(tellingOf(step), i === 0));
  }

  private addDeviation(name: string, { trace, mismatches, deviations }: TraceReport, step: number): void {
    const known = this.deviating.get(name) ?? { steps: 0, traces: 0, example: `${trace}:${step}` };
    this.deviating.set(name, known);
    known.steps++;
    if (mismatches.length === 0 && deviations[0]!.step === step) known.traces++;
  }

  deviations(): DeviationCount[] {
    return DEVIATIONS.flatMap(({ name, reason }) => {
      const counts = this.deviating.get(name);
      return counts ? [{ name, reason, ...counts }] : [];
    });
  }

  private count(mismatch: Mismatch, first: boolean): void {
    const cause = this.counted.size < MAX_CAUSES ? causeOf(mismatch) : 'others';
    const example = `${mismatch.trace}:${mismatch.step}`;
    const known = this.counted.get(cause) ?? { count: 0, first: 0, example };
    this.counted.set(cause, known);
    known.count++;
    if (first) known.first++;
  }

  /** Causes by the number of traces in which they came first, then of steps they spoilt. */
  causes(): Cause[] {
    return [...this.counted]
      .map(([cause, counts]) => ({ cause, ...counts }))
      .sort((a, b) => b.first - a.first || b.count - a.count || (a.cause < b.cause ? -1 : 1));
  }

  report(): ConformanceReport {
    const mismatches = this.mismatches.map(({ trace, step, field, expected, got }) => ({
      trace,
      step,
      field,
      expected,
      got,
    }));
    const deviations = this.deviations();
    return { ...this.total, mismatches, ...(deviations.length > 0 && { deviations }) };
  }
}

function bySteps(mismatches: readonly Mismatch[]): Mismatch[][] {
  const steps = new Map<number | string, Mismatch[]>();
  for (const each of mismatches) {
    const key = typeof each.step === 'number' ? each.step : `${each.step} ${each.words}`;
    const found = steps.get(key);
    if (found) found.push(each);
    else steps.set(key, [each]);
  }
  return [...steps.values()];
}

const rank = ({ field }: Mismatch): number => {
  const at = TELLING.indexOf(field);
  return at < 0 ? TELLING.length : at;
};
const tellingOf = (mismatches: readonly Mismatch[]): Mismatch =>
  mismatches.reduce((best, each) => (rank(each) < rank(best) ? each : best));

/** One mismatch in two lines. */
export const inWords = ({ trace, step, field, expected, got, words, lacks }: Mismatch): string =>
  [
    `${trace} step ${step}: ${words}`,
    `  ${field}: a real kernel answered ${JSON.stringify(expected)}, the lab ${JSON.stringify(got)}` +
      (lacks === undefined ? '' : ` (not in the lab yet: ${lacks})`),
  ].join('\n');
