/** A thread of a conformance run: runs its share and posts a report for every trace. */
import { parentPort, workerData } from 'node:worker_threads';
import { runShare, type Share, type ThreadMessage } from './conformance.js';
import { InputError } from './input-error.js';

const post = (message: ThreadMessage): void => parentPort?.postMessage(message);

try {
  await runShare(workerData as Share, post);
} catch (error) {
  if (!(error instanceof InputError)) throw error;
  post({ wrong: error.message });
}
