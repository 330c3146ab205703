/** A thread of a sweep: runs the points that it is given, one after another, and ends when it is given none. */
import { parentPort, workerData } from 'node:worker_threads';
import { type Given, type Point, type PointSaid, runPoint } from './cluster-sweep.js';
import { UsageError } from './command.js';

function said(point: Point): PointSaid {
  try {
    return { row: runPoint(workerData as Given, point) };
  } catch (error) {
    if (error instanceof UsageError) return { problem: error.message };
    throw error;
  }
}

parentPort!.on('message', (point: Point | undefined) => {
  if (point === undefined) return parentPort!.close();
  parentPort!.postMessage(said(point));
});
