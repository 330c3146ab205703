/** Seeds of a swarm, in portions: a failure names its neighbourhood, and the runner shows progress. */
import { huntSwarm } from '../hunt.js';

const PORTION = 50;

export function everySeedIsClean(first: number, last: number): void {
  const portions = Array.from({ length: Math.ceil((last - first + 1) / PORTION) }, (_, i) => first + i * PORTION);
  it.each(portions)(
    `${PORTION} seeds from %i on: everything goes wrong, every call is answered as foretold, nothing is left over`,
    async (from) => {
      for (let seed = from; seed < from + PORTION && seed <= last; seed++) {
        const { findings, drawn } = await huntSwarm(seed);
        expect([seed, findings, findings.length > 0 && drawn]).toEqual([seed, [], false]);
      }
    },
    180_000,
  );
}
