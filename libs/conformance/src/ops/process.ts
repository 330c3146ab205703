/** Steps on processes and time: limits, users, fork, the status, sleeping, the kernel's log. */
import { done, failure, type Outcome, outcomeOf } from '../outcome.js';
import { type StepContext, type StepRunner, textOf } from './context.js';

async function setrlimit({ step, task }: StepContext): Promise<Outcome> {
  return outcomeOf(await task.process.setMemlock(task.variables.small(step['cur'])));
}

async function setuid({ step, task }: StepContext): Promise<Outcome> {
  return outcomeOf(await task.process.setUid(task.variables.small(step['uid'])));
}

async function procStatus({ task }: StepContext): Promise<Outcome> {
  const status = await task.process.status();
  if (!status.ok) return failure(status.errno);
  const { vmLockedKb, vmPinnedKb } = status.value;
  return done(0, { text: [`VmLck: ${vmLockedKb} kB`, `VmPin: ${vmPinnedKb} kB`] });
}

async function fork({ step, program }: StepContext): Promise<Outcome> {
  return outcomeOf(await program.fork(textOf(step, 'as'), step['keep'] === true));
}

async function sleep({ step, task }: StepContext): Promise<Outcome> {
  await task.process.link.ports.sleep(Number(step['ms']));
  return done();
}

export const processSteps: Readonly<Record<string, StepRunner>> = {
  setrlimit,
  setuid,
  proc_status: procStatus,
  fork,
  sleep,
  // The lab has no kernel log; what real kernels said there is not compared (loose.ts).
  klog: () => done(),
  exit: () => done(),
};
