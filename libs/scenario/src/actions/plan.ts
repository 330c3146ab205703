/** The action on the fault plan: rules begin, end, or let go of what they hold. No system call. */
import { type Actions, success } from './action.js';

export const planAction: Actions['plan'] = {
  facts: ['fired'],
  calls: false,
  words: (_call, { clear, release, add }) => {
    const parts = [
      release && `lets go: ${release.join(', ')}`,
      clear && `without ${clear.join(', ')}`,
      add && `with ${Object.keys(add).join(', ')}`,
    ].filter((part) => part !== undefined);
    return parts.length === 0 ? 'look at the fault plan' : `the fault plan ${parts.join('; ')}`;
  },
  run: async ({ plan }, { clear, release, add }) => {
    if (release) await plan.release(release);
    if (clear) await plan.clear(clear);
    if (add) await plan.add(add);
    if (plan.problem !== undefined) throw new Error(plan.problem);
    const status = await plan.status();
    const fired = Object.fromEntries(status.map((rule) => [rule.name, BigInt(rule.fired)]));
    // How often messages were hit depends on how long things take; the end of the run tells.
    return success('done', { fired });
  },
};
