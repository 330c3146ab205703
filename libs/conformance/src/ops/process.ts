/** Steps on processes and time: limits, users, fork, the status, sleeping, the kernel's log. */
import { done, failure, type Outcome, outcomeOf } from '../outcome.js';
import { type StepContext, type StepRunner, textOf } from './context.js';

async function setrlimit({ step, task }: StepContext): Promise<Outcome> {
  const memlock = task.variables.small(step['cur']);
  const result = await task.process.setMemlock(memlock);
  if (result.ok) task.credentials = { ...task.credentials, memlock };
  return outcomeOf(result);
}

async function setuid({ step, task }: StepContext): Promise<Outcome> {
  const uid = task.variables.small(step['uid']);
  const result = await task.process.setUid(uid);
  if (result.ok) task.credentials = { ...task.credentials, uid, caps: uid === 0 ? task.credentials.caps : 0 };
  return outcomeOf(result);
}

async function procStatus({ task }: StepContext): Promise<Outcome> {
  const status = await task.process.status();
  if (!status.ok) return failure(status.errno);
  const { vmLockedKb, vmPinnedKb } = status.value;
  return done(0, { text: [`VmLck: ${vmLockedKb} kB`, `VmPin: ${vmPinnedKb} kB`] });
}

async function fork({ step, program }: StepContext): Promise<Outcome> {
  await program.fork(textOf(step, 'as'), step['keep'] === true);
  return done();
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
