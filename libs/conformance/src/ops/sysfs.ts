/** Steps on the file system: sysfs attributes, links, directories. */
import type { Result } from '@vfiolab/uapi';
import { done, failure, type Outcome, outcomeOf } from '../outcome.js';
import { type StepContext, type StepRunner, textOf } from './context.js';
import { expandPath } from './paths.js';

const shown = (text: string): { data?: string } => {
  const data = text.replace(/\n$/, '');
  return data === '' ? {} : { data };
};

type Call = (context: StepContext, path: string) => Promise<Outcome>;

/** The path with its group and cdev names filled in. */
const onPath =
  (call: Call): StepRunner =>
  async (context) =>
    call(context, await expandPath(context.task, textOf(context.step, 'path')));

const sysfsRead = onPath(async ({ task }, path) => {
  const text = await task.process.sysfsRead(path);
  return text.ok ? done(text.value.length, shown(text.value)) : failure(text.errno);
});

const readlink = onPath(async ({ task }, path) => {
  const target = await task.process.readlink(path);
  return target.ok ? done(0, { data: target.value }) : failure(target.errno);
});

const listdir = onPath(async ({ task }, path) => {
  const names = await task.process.listdir(path);
  return names.ok ? done(0, { entries: names.value }) : failure(names.errno);
});

const stat = onPath(async ({ task }, path) => {
  const status = await task.process.stat(path);
  if (!status.ok) return failure(status.errno);
  const { kind, mode, major, minor } = status.value;
  return done(0, { text: [`mode=${mode.toString(8)} type=${kind} rdev=${major}:${minor}`] });
});

const chmod = onPath(async ({ step, task }, path) =>
  outcomeOf(await task.process.chmod(path, Number.parseInt(textOf(step, 'mode'), 8))),
);

const written = (result: Result<number>): Outcome => (result.ok ? done(result.value) : failure(result.errno));

const sysfsWrite = onPath(async ({ step, task, program }, path) => {
  const result = task.process.sysfsWrite(path, textOf(step, 'data')).then(written);
  const timeout = step['timeout_ms'];
  if (timeout === undefined) return result;
  const blocked = inTime(result, task.process.link.ports.sleep(Number(timeout)));
  const outcome = await blocked;
  if (outcome.errno === 'BLOCKED' && typeof step['as'] === 'string') program.helpers.set(step['as'], result);
  return outcome;
});

const inTime = (result: Promise<Outcome>, late: Promise<void>): Promise<Outcome> =>
  Promise.race([result, late.then(() => failure('BLOCKED'))]);

async function sysfsWait({ step, task, program }: StepContext): Promise<Outcome> {
  const name = textOf(step, 'handle').replace(/^\$/, '');
  const helper = program.helpers.get(name);
  // The write that should wait had ended at once: there is nothing to wait for.
  if (!helper) return failure('ECHILD');
  return inTime(helper, task.process.link.ports.sleep(Number(step['timeout_ms'])));
}

export const sysfsSteps: Readonly<Record<string, StepRunner>> = {
  sysfs_read: sysfsRead,
  sysfs_write: sysfsWrite,
  sysfs_wait: sysfsWait,
  readlink,
  listdir,
  stat,
  chmod,
};
