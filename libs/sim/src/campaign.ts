/**
 * Many seeds of a hunt on several threads.
 *
 * Rule: a seed does the same on any thread and in any order; each thread takes the next seed when it is done with one.
 */
import { Worker } from 'node:worker_threads';
import { type Hunt, hunt, type Hunted } from './hunt/hunts.js';

export interface HuntShare {
  readonly which: Hunt;
  readonly first: number;
  readonly last: number;
  /** At least 1. */
  readonly threads: number;
}

/** What a seed came to; `stopped`: why it could not be run to its end. */
export type HuntedSeed = { readonly seed: number } & ({ readonly hunted: Hunted } | { readonly stopped: string });

/** Young objects are most of what a run makes: with room for them they are dead before anybody looks, MiB. */
const YOUNG_MB = 64;

export async function huntSeed(which: Hunt, seed: number): Promise<HuntedSeed> {
  try {
    return { seed, hunted: await hunt(which, seed) };
  } catch (e) {
    return { seed, stopped: (e as Error).message };
  }
}

export async function huntMany(
  { which, first, last, threads }: HuntShare,
  heard: (seed: HuntedSeed) => void,
): Promise<void> {
  let next = first;
  const take = (): number | undefined => (next <= last ? next++ : undefined);
  await Promise.all(Array.from({ length: Math.min(threads, last - first + 1) }, () => runThread(which, take, heard)));
}

function runThread(which: Hunt, take: () => number | undefined, heard: (seed: HuntedSeed) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./campaign-worker.js', import.meta.url), {
      workerData: which,
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB },
    });
    const more = (): void => worker.postMessage(take());
    worker.on('message', (seed: HuntedSeed) => {
      heard(seed);
      more();
    });
    worker.on('error', reject);
    worker.on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`a thread ended with code ${code}`))));
    more();
  });
}
