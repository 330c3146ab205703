import type { Environment } from '@vfiolab/scenario';
import type { Outcome } from './outcome.js';
import { done, failure } from './outcome.js';
import { patiently } from './patience.js';
import type { Step } from './trace.js';

const READ: Step = { i: 0, op: 'read', fd: '$e', len: 8, timeout_ms: 20 };
const BLOCKED = failure('BLOCKED');

/** Services with so many operations in flight at one look after another, and none after that. */
function services(mode: Environment['mode'], ...busy: number[]) {
  const seen = { looks: 0 };
  const env = {
    mode,
    actors: async () => ['pages'],
    inspect: async () => {
      seen.looks++;
      return { lines: [], broken: [], figures: {}, busy: busy.shift() ?? 0 };
    },
  } as unknown as Environment;
  return { env, seen };
}

/** A step that answers these outcomes, one after another, and notes how long it was to wait. */
function answering(...outcomes: Outcome[]) {
  const waits: unknown[] = [];
  const run = (step: Step): Outcome => {
    waits.push(step['timeout_ms']);
    return outcomes.shift()!;
  };
  return { run, waits };
}

it('what comes in time is taken at once', async () => {
  const { env, seen } = services('nats', 1);
  const { run, waits } = answering(done(8));
  expect(await patiently(READ, env, run)).toEqual(done(8));
  expect([seen.looks, waits]).toEqual([0, [20]]);
});

it('what is late because services are at work is waited for', async () => {
  const { env, seen } = services('nats', 2, 1, 1);
  const { run, waits } = answering(BLOCKED, BLOCKED, BLOCKED, done(8));
  expect(await patiently(READ, env, run)).toEqual(done(8));
  expect([seen.looks, waits]).toEqual([3, [20, 0, 0, 0]]);
});

it('what ended between the time-out and the look at the services is found', async () => {
  const { env } = services('nats', 0);
  expect(await patiently(READ, env, answering(BLOCKED, done(8)).run)).toEqual(done(8));
});

it('when nothing is under way nothing comes', async () => {
  const { env, seen } = services('embedded', 1, 0);
  expect(await patiently(READ, env, answering(BLOCKED, BLOCKED, BLOCKED).run)).toEqual(BLOCKED);
  expect(seen.looks).toBe(2);
});

it('an operation that waits for the program itself does not hold it for ever', async () => {
  const { env } = services('nats', ...Array<number>(10_000).fill(1));
  expect(await patiently(READ, env, () => BLOCKED)).toEqual(BLOCKED);
});

it('a poll that found nothing is such a wait too; a call that waits for nothing is not', async () => {
  const poll: Step = { i: 0, op: 'poll', fd: '$e', events: 1, timeout_ms: 10 };
  const { env } = services('nats', 1);
  expect(await patiently(poll, env, answering(done(0), done(1)).run)).toEqual(done(1));
  const write: Step = { i: 0, op: 'sysfs_write', timeout_ms: 10 };
  expect(await patiently(write, services('nats', 1).env, answering(BLOCKED).run)).toEqual(BLOCKED);
});

it('in virtual time nothing is late', async () => {
  const { env, seen } = services('simulated', 1);
  expect(await patiently(READ, env, answering(BLOCKED).run)).toEqual(BLOCKED);
  expect(seen.looks).toBe(0);
});
