/**
 * The place of one address on a simulated host: its actor, its journal, and what ails them.
 *
 * Rule: troubles of one kind may overlap; the last to end ends it.
 */
import type { Actor } from '@vfiolab/core';
import { CrashPoints } from './faults/crash-points.js';
import type { WindowKind } from './faults/windows.js';
import { SimJournal } from './sim-journal.js';

export interface Place {
  readonly journal: SimJournal;
  readonly points: CrashPoints;
  actor: Actor | undefined;
  instances: number;
  /** What is to be done when the actor goes on; undefined: it is not paused. */
  waiting: (() => void)[] | undefined;
  pauses: number;
  slow: number;
  full: number;
  /** Until then the disk is at work, ms of virtual time. */
  busyUntil: number;
}

export const emptyPlace = (points: CrashPoints, journal = new SimJournal()): Place => ({
  ...{ journal, points, actor: undefined, instances: 0 },
  ...{ waiting: undefined, pauses: 0, slow: 0, full: 0, busyUntil: 0 },
});

/** Troubles of services. */
export type Ailment = Extract<WindowKind, 'pause' | 'slow-disk' | 'full-disk'>;

export function begin(p: Place, kind: Ailment): void {
  if (kind === 'slow-disk') p.slow++;
  else if (kind === 'full-disk') p.journal.full = ++p.full > 0;
  else if (p.pauses++ === 0) p.waiting = [];
}

export function end(p: Place, kind: Ailment): void {
  if (kind === 'slow-disk') p.slow--;
  else if (kind === 'full-disk') p.journal.full = --p.full > 0;
  else if (--p.pauses === 0) {
    const waiting = p.waiting ?? [];
    p.waiting = undefined;
    for (const each of waiting) each();
  }
}
