/**
 * Steps that wait for something, on a lab in real time, which is slower than a kernel.
 *
 * Rule: that nothing came in time counts only once no service has an operation in flight: what the program itself does not
 * start, nobody does, so from then on nothing can come. The step's own time-out is never cut short.
 */
import type { Environment } from '@vfiolab/scenario';
import type { Outcome } from './outcome.js';
import type { Step } from './trace.js';

/** How much longer than its time-out a step waits for the services, ms. An operation may wait for the program itself. */
const PATIENCE_MS = 1000;
const LOOK_MS = 5;

const WAITING: ReadonlySet<string> = new Set(['read', 'poll', 'wait_mmio', 'sysfs_wait']);

const nothingCame = ({ op }: Step, { errno, ret }: Outcome): boolean =>
  WAITING.has(op) && (errno === 'BLOCKED' || (op === 'poll' && ret === 0));

async function isBusy(env: Environment): Promise<boolean> {
  const all = await Promise.all((await env.actors()).map((address) => env.inspect(address)));
  return all.some(({ busy }) => busy > 0);
}

/** Runs the step; when nothing came, looks again, without waiting, until it has come or nothing is under way. */
export async function patiently(
  step: Step,
  env: Environment,
  run: (step: Step) => Promise<Outcome> | Outcome,
): Promise<Outcome> {
  let outcome = await run(step);
  // Virtual time stands still while services work.
  if (env.mode === 'simulated') return outcome;
  for (const until = Date.now() + PATIENCE_MS; nothingCame(step, outcome) && Date.now() < until; await sleep(LOOK_MS)) {
    const busy = await isBusy(env);
    // What ended between the first look and this one has come by now.
    outcome = await run({ ...step, timeout_ms: 0 });
    if (!busy) break;
  }
  return outcome;
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
