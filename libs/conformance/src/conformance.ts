/**
 * Runs many traces, on several threads, and adds up what they report.
 *
 * Words: a *share* is every n-th trace: thread k of n runs the traces k, k + n, k + 2n, ...
 * Rule: every trace has a host of its own, so the result does not depend on the threads; reports are added in the order of
 * the traces.
 */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { readTraceFile, traceFiles, wanted } from './collect.js';
import { InputError } from './input-error.js';
import { type LiveLab, runLive } from './live.js';
import { profileOf } from './machines.js';
import { Tally } from './report.js';
import type { TraceReport } from './run-trace.js';
import { familyOf, type Trace } from './trace.js';
import { runOnFreshHost } from './trace-host.js';

export interface ConformanceOptions {
  /** Only traces with this text in their name, machine, title or tags. */
  readonly grep?: string;
  /** Threads; 0: none but this one. In a live lab: traces at once. */
  readonly threads?: number;
  /** A live lab to run in, instead of virtual time. */
  readonly lab?: LiveLab;
  /** Hears of every trace that has been run, in no particular order. */
  readonly onTrace?: (done: number) => void;
}

/** One trace's report with the group that it counts for. */
export interface GroupReport {
  /** Place of the trace among all. */
  readonly index: number;
  readonly group: string;
  readonly report: TraceReport;
}

/** What a thread says: a report, or that the input is wrong. */
export type ThreadMessage = GroupReport | { readonly wrong: string };

export interface Share {
  readonly files: readonly string[];
  readonly grep: string | undefined;
  readonly first: number;
  readonly step: number;
}

const groupOf = (trace: Trace): string => `${profileOf(trace) ?? 'another kernel'} ${trace.machine} ${familyOf(trace)}`;

/** All traces that are wanted; files are read one after another, so that one at a time is in memory. */
function* tracesOf(files: readonly string[], grep: string | undefined): Generator<Trace, undefined> {
  for (const file of files) for (const trace of readTraceFile(file)) if (wanted(trace, grep)) yield trace;
}

export async function runShare(share: Share, heard: (report: GroupReport) => void): Promise<void> {
  let index = -1;
  for (const trace of tracesOf(share.files, share.grep)) {
    if ((++index - share.first) % share.step !== 0) continue;
    heard({ index, group: groupOf(trace), report: await runOnFreshHost(trace) });
  }
}

function runThread(share: Share, heard: (report: GroupReport) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: share });
    worker.on('message', (message: ThreadMessage) =>
      'wrong' in message ? reject(new InputError(message.wrong)) : heard(message),
    );
    worker.on('error', reject);
    worker.on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`a thread ended with code ${code}`))));
  });
}

/** Runs the traces of files and folders. Throws InputError when a path is not there or a file is no trace. */
export async function conformance(paths: readonly string[], options: ConformanceOptions = {}): Promise<Tally> {
  const { grep, threads = availableParallelism(), lab, onTrace } = options;
  const files = traceFiles(paths);
  const reports: GroupReport[] = [];
  const heard = (report: GroupReport): void => {
    reports.push(report);
    onTrace?.(reports.length);
  };
  if (lab)
    await runLive(tracesOf(files, grep), lab, Math.max(1, threads), (trace, index, report) =>
      heard({ index, group: groupOf(trace), report }),
    );
  else if (threads === 0) await runShare({ files, grep, first: 0, step: 1 }, heard);
  else
    await Promise.all(
      Array.from({ length: threads }, (_, first) => runThread({ files, grep, first, step: threads }, heard)),
    );
  const tally = new Tally();
  for (const { group, report } of reports.sort((a, b) => a.index - b.index)) tally.add(group, report);
  return tally;
}
