/** `--report`: what each policy's run has to show, gathered into one page. */
import {
  allocationCurve,
  comparisonRows,
  fragmentation,
  htmlReport,
  knownFailures,
  type PolicyResult,
  type ReportedRun,
  type Run,
  type RunInput,
  timedComparisonRows,
  type TimedResult,
  type Timeline,
} from '@vfiolab/cluster';
import type { Carried } from './carry/carry.js';
import { load } from './progress-line.js';

/** A run without time, or in time. */
export type Made =
  { readonly run: Run; readonly timeline?: undefined } | { readonly run?: undefined; readonly timeline: Timeline };

export class PageReport {
  private readonly runs: ReportedRun[] = [];

  add(given: RunInput, policy: string, made: Made, carried: Carried | undefined): void {
    const truth = carried && { carried };
    if (made.run) {
      const { run } = made;
      const curve = allocationCurve(given, run.hosts);
      this.runs.push({ policy, curve, fragmentation: fragmentation(given, run), ...truth });
    } else {
      const { samples, startups } = made.timeline.statistics;
      const { startup, startupParts } = made.timeline.tally();
      this.runs.push({ policy, samples, startups, startup, startupParts: { ...startupParts } });
    }
  }

  html(given: RunInput, results: readonly (PolicyResult | TimedResult)[], timed: boolean): string {
    return htmlReport({
      title: 'Pods with devices on a cluster',
      about: `${load(given)}; seed ${given.seed}.`,
      comparison: timed ? timedComparisonRows(results as TimedResult[]) : comparisonRows(results as PolicyResult[]),
      runs: this.runs,
      failures: knownFailures(),
    });
  }
}
