/** A thread of a campaign: runs the seeds that it is given, one after another, and ends when it is given none. */
import { parentPort, workerData } from 'node:worker_threads';
import { huntSeed } from './campaign.js';
import type { Hunt } from './hunt/hunts.js';

parentPort!.on('message', (seed: number | undefined) => {
  if (seed === undefined) return parentPort!.close();
  void huntSeed(workerData as Hunt, seed).then((hunted) => parentPort!.postMessage(hunted));
});
