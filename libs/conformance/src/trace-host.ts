/**
 * A host for one trace: the machine that it was recorded on, fresh, in virtual time.
 *
 * Rule: a trace whose machine cannot be made still reports every step, as not matched and with the reason.
 */
import { TestHost } from '@vfiolab/sim';
import { machineNamed, profileOf } from './machines.js';
import { runTrace, type TraceReport } from './run-trace.js';
import { stepInWords } from './step-in-words.js';
import type { Trace } from './trace.js';

/** A fresh host with the trace's machine and kernel; throws, in words, when there is none. */
export async function bootFor(trace: Trace): Promise<TestHost> {
  const profile = profileOf(trace);
  if (!profile) throw new Error(`kernel ${JSON.stringify(trace.kernel)}: no profile of the lab is that release`);
  const { topology, iommu, frames } = machineNamed(trace.machine);
  return TestHost.boot({ machine: topology, iommu, profile, frames });
}

export async function runOnFreshHost(trace: Trace): Promise<TraceReport> {
  try {
    const host = await bootFor(trace);
    return await host.run(runTrace(trace, host.env));
  } catch (error) {
    return notRun(trace, (error as Error).message);
  }
}

function notRun(trace: Trace, why: string): TraceReport {
  const mismatches = trace.steps.map((step) => ({
    trace: trace.name,
    step: step.i,
    field: 'lab',
    expected: step['errno'] ?? step['ret'] ?? null,
    got: why,
    words: stepInWords(step),
    lacks: why,
  }));
  return { trace: trace.name, steps: trace.steps.length, stepsMatched: 0, mismatches };
}
