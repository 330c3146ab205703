/**
 * What a policy is. A policy is one file in `policies/` and a line in `policies/index.ts`.
 *
 * Rule: a score depends only on the host's own state and the request, so that only hosts that changed are scored again.
 */
import type { Chooser } from './choosers.js';
import type { Sight } from './device-view.js';
import type { Fits } from './fits.js';
import type { Fleet } from './fleet.js';
import type { RequestClass } from './request.js';

/** Scores are whole numbers from 0 to this; the highest wins. */
export const MAX_SCORE = 60_000;

export interface Load {
  /** All classes of the run. */
  readonly classes: readonly RequestClass[];
  /** Pods of the list in each class, without copies. */
  readonly counts: readonly number[];
}

export interface Scorer {
  /** How good it is to give the request, on this host, the devices of this row of `fits`. */
  score(host: number, request: RequestClass, row: number): number;
  /** A request came to the host (1) or left it (-1). What it had taken is already gone, or back. */
  moved?(host: number, request: RequestClass, by: 1 | -1): void;
}

export interface Policy {
  readonly name: string;
  /** One line. */
  readonly about: string;
  /** What it knows of a host. One that only counts devices proposes hosts that then refuse. */
  readonly sight: Sight;
  readonly chooser: Chooser;
  /** Undefined: takes any host that fits and any choice, all equally likely. */
  readonly scorer?: (fleet: Fleet, fits: Fits, load: Load) => Scorer;
}
