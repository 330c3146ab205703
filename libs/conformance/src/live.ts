/**
 * Traces against a live lab: real time, several of them at once.
 *
 * Words: a *lane* runs one trace after another; lanes take the next trace that nobody has taken.
 * Rule: every trace has a host of its own, and what it reports does not depend on the other lanes.
 */
import type { Environment } from '@vfiolab/scenario';
import { runTrace, type TraceReport } from './run-trace.js';
import type { Trace } from './trace.js';
import { makeHost, notRun } from './trace-host.js';

/** Where hosts come from. */
export interface LiveLab {
  /** A host without a machine yet. */
  newHost(): Promise<Environment>;
  /** Rejects when nothing will be answered any more. */
  readonly lost: Promise<never>;
}

/** Runs all traces, at most `lanes` at once. Rejects when the lab is lost. */
export async function runLive(
  traces: Iterator<Trace>,
  lab: LiveLab,
  lanes: number,
  heard: (trace: Trace, place: number, report: TraceReport) => void,
): Promise<void> {
  let place = 0;
  const lane = async (): Promise<void> => {
    for (let next = traces.next(); next.done !== true; next = traces.next()) {
      const mine = place++;
      heard(next.value, mine, await runOn(next.value, lab));
    }
  };
  const all = Promise.all(Array.from({ length: lanes }, lane));
  await Promise.race([all, lab.lost]);
}

async function runOn(trace: Trace, lab: LiveLab): Promise<TraceReport> {
  const env = await lab.newHost();
  const report = await onHost(trace, env);
  const { broken } = await env.end();
  const found = broken.map((got) => ({
    trace: trace.name,
    step: 'end',
    field: 'invariant',
    expected: null,
    got,
    words: 'the end of the host',
  }));
  return { ...report, mismatches: [...report.mismatches, ...found] };
}

async function onHost(trace: Trace, env: Environment): Promise<TraceReport> {
  try {
    await makeHost(trace, env);
  } catch (error) {
    return notRun(trace, (error as Error).message);
  }
  return runTrace(trace, env);
}
