/**
 * Waiting for a crash that a step has asked for.
 *
 * Rule: a crash that cannot happen any more must not hang the run: when the step's call was answered and nothing has
 * crashed for a while, the scenario is wrong, and says so.
 */
import type { LinkPorts } from '@vfiolab/client';
import type { CrashPlan } from './environment.js';

/** How long after the answer a crash may still come, beyond the time that the service stays away. */
const GRACE_MS = 10_000;
const LOOK_MS = 20;

export async function awaitCrash(
  crashed: Promise<void>,
  plan: CrashPlan,
  ports: Pick<LinkPorts, 'now' | 'sleep'>,
): Promise<void> {
  let over = false;
  const noted = crashed.then(() => void (over = true));
  const deadline = ports.now() + GRACE_MS + plan.downMs;
  while (!over && ports.now() < deadline) await Promise.race([noted, ports.sleep(LOOK_MS)]);
  if (!over) {
    const message = `${plan.service} did not crash: it saw no ${plan.method} number ${plan.nth} while this call was under way`;
    throw new Error(`${message}. Is the message right, and does this call lead to it?`);
  }
}
