/**
 * 24 hours of one lab: programs come and go, everything goes wrong, and memory does not grow.
 *
 * Words: the *heap* is what is left of objects and buffers after a collection.
 * Rule: in the first quarter what is bounded fills, and code is compiled. Growth is that from the second quarter to the last, of
 * what is there at the emptiest hour of each: journals that wait for a snapshot come and go.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { WINDOW_KINDS } from '../faults/windows.js';
import { CALM, type SimOptions } from '../options.js';
import type { SwarmHunted } from './hunt.js';
import { type Plan, swarm } from './swarm.js';

const HOUR_MS = 3_600_000;
export const DAY_HOURS = 24;
/** More than this is a finding. */
const MOST_GROWTH = 0.05;
/** Windows of each kind in an hour. */
const WINDOWS = 2;

const troubleOf = (hours: number): SimOptions => ({
  ...CALM,
  ...{ loss: 0.01, duplication: 0.01, delay: 0.02, delayMs: 300 },
  ...{ crash: 0.0002, maxCrashes: Infinity, downMs: 1000 },
  windows: Object.fromEntries(WINDOW_KINDS.map((kind) => [kind, WINDOWS * hours])),
  ...{ windowMs: 3000, horizonMs: hours * HOUR_MS, kill: 0.0005, snapshotEvery: 300 },
});

export const dayPlan = (hours: number): Plan => ({
  options: troubleOf(hours),
  ...{ atOnce: 3, programs: Infinity, sessions: 40, restMs: 20_000, troubleMs: hours * HOUR_MS },
});

function heapMiB(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return (heapUsed + arrayBuffers) / 2 ** 20;
}

/** `hours`: of virtual time, at least 4. */
export async function huntDay(seed: number, hours = DAY_HOURS): Promise<SwarmHunted> {
  const heaps: number[] = [];
  const onTime = (ms: number): void => {
    if (ms >= (heaps.length + 1) * HOUR_MS && heaps.length < hours) heaps.push(heapMiB());
  };
  const { place, findings, counts, messages, virtualSeconds, faults } = await swarm(seed, {
    plan: dayPlan(hours),
    monitor: { messages: false, turnsPerCheck: 64, quietPerCheck: 64 },
    onTime,
  });
  const quarter = Math.floor(hours / 4);
  const [before, after] = [heaps.slice(quarter, 2 * quarter), heaps.slice(-quarter)];
  const growth = Math.min(...after) / Math.min(...before) - 1;
  const grown = growth > MOST_GROWTH ? [`the heap has grown by ${(100 * growth).toFixed(1)} %`] : [];
  return {
    findings: [...findings, ...grown],
    counts: {
      ...{ ...counts, faults: faults.length },
      ...{ 'MiB of heap': Math.round(Math.min(...after)), '% of growth': Number((100 * growth).toFixed(1)) },
    },
    drawn: { ...place, heapMiB: heaps.map((mib) => Number(mib.toFixed(1))), growth: Number(growth.toFixed(4)) },
    messages,
    virtualSeconds,
  };
}
