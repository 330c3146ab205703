/**
 * The host of a trace: the machine that it was recorded on, with the kernel release of its header.
 *
 * Rule: a trace whose machine cannot be made still reports every step, as not matched and with the reason.
 */
import { LAB, labApi } from '@vfiolab/core';
import type { Environment } from '@vfiolab/scenario';
import { TestHost } from '@vfiolab/sim';
import { type Machine, machineNamed, profileOf } from './machines.js';
import { runTrace, type TraceReport } from './run-trace.js';
import { stepInWords } from './step-in-words.js';
import type { Trace } from './trace.js';

/** Characters of a machine's description in one message. */
const PIECE = 200_000;

function planFor(trace: Trace): { machine: Machine; profile: string } {
  const profile = profileOf(trace);
  if (!profile) throw new Error(`kernel ${JSON.stringify(trace.kernel)}: no profile of the lab is that release`);
  return { machine: machineNamed(trace.machine), profile };
}

/** A fresh host in virtual time; throws, in words, when the lab cannot make one. */
export async function bootFor(trace: Trace): Promise<TestHost> {
  const { machine, profile } = planFor(trace);
  const { topology, leftBehind: _, ...rest } = machine;
  return TestHost.boot({ ...rest, machine: topology, profile });
}

/** Makes the trace's host in an environment that has none yet, live or simulated. Throws as `bootFor`. */
export async function makeHost(trace: Trace, env: Environment): Promise<void> {
  const { machine, profile } = planFor(trace);
  const operator = env.link('operator');
  for (let part = 0; part * PIECE < machine.topology.length; part++) {
    const text = machine.topology.slice(part * PIECE, (part + 1) * PIECE);
    const loaded = await operator.call(LAB, labApi.loadMachine, { part, text });
    if (!loaded.ok) throw new Error(`machine ${machine.name}: piece ${part}: ${loaded.errno}`);
  }
  const { iommu, frames, vfioContainer, pageShift, hugetlb, allowUnsafeInterrupts } = machine;
  const plan = {
    machine: machine.name,
    profile,
    iommu,
    frames,
    allowUnsafeInterrupts,
    vfioContainer,
    pageShift,
    hugetlb,
  };
  const { error } = await operator.call(LAB, labApi.createHost, plan);
  if (error !== '') throw new Error(error);
}

export async function runOnFreshHost(trace: Trace): Promise<TraceReport> {
  try {
    const host = await bootFor(trace);
    return await host.run(runTrace(trace, host.env));
  } catch (error) {
    return notRun(trace, (error as Error).message);
  }
}

/** The report of a trace whose host could not be made. */
export function notRun(trace: Trace, why: string): TraceReport {
  const mismatches = trace.steps.map((step) => ({
    trace: trace.name,
    step: step.i,
    field: 'lab',
    expected: step['errno'] ?? step['ret'] ?? null,
    got: why,
    words: stepInWords(step),
    lacks: why,
  }));
  return { trace: trace.name, steps: trace.steps.length, stepsMatched: 0, mismatches, deviations: [] };
}
