/**
 * The state machine of migration: which state comes next on the way to another one (semantics D9.1, D9.2).
 *
 * Words: an *arc* leads from a state to a neighbour; a device walks several to a state that is none.
 * Rule: the way is the shortest one that begins no saving on the way; states of a feature that the device does not have are
 * skipped.
 */
import { fail, ok, type Result } from '@vfiolab/uapi';
import * as uapi from '@vfiolab/uapi';

const {
  VFIO_DEVICE_STATE_ERROR: ERROR,
  VFIO_DEVICE_STATE_STOP: STOP,
  VFIO_DEVICE_STATE_RUNNING: RUNNING,
  VFIO_DEVICE_STATE_STOP_COPY: STOP_COPY,
  VFIO_DEVICE_STATE_RESUMING: RESUMING,
  VFIO_DEVICE_STATE_RUNNING_P2P: RUNNING_P2P,
  VFIO_DEVICE_STATE_PRE_COPY: PRE_COPY,
  VFIO_DEVICE_STATE_PRE_COPY_P2P: PRE_COPY_P2P,
} = uapi;

/** From each state, the states that are reached through a neighbour: neighbour, then where it leads. What is left out is blocked. */
const WAYS: ReadonlyMap<number, readonly (readonly [number, readonly number[]])[]> = new Map([
  [
    STOP,
    [
      [RUNNING_P2P, [RUNNING_P2P, RUNNING, PRE_COPY, PRE_COPY_P2P]],
      [STOP_COPY, [STOP_COPY]],
      [RESUMING, [RESUMING]],
    ],
  ],
  [
    RUNNING,
    [
      [PRE_COPY, [PRE_COPY]],
      [RUNNING_P2P, [RUNNING_P2P, STOP, STOP_COPY, RESUMING, PRE_COPY_P2P]],
    ],
  ],
  [
    RUNNING_P2P,
    [
      [RUNNING, [RUNNING, PRE_COPY]],
      [PRE_COPY_P2P, [PRE_COPY_P2P]],
      [STOP, [STOP, STOP_COPY, RESUMING]],
    ],
  ],
  [
    PRE_COPY,
    [
      [PRE_COPY_P2P, [PRE_COPY_P2P, STOP_COPY]],
      [RUNNING, [RUNNING, RUNNING_P2P, STOP, RESUMING]],
    ],
  ],
  [
    PRE_COPY_P2P,
    [
      [PRE_COPY, [PRE_COPY]],
      [STOP_COPY, [STOP_COPY]],
      [RUNNING_P2P, [RUNNING_P2P, RUNNING, STOP, RESUMING]],
    ],
  ],
  [STOP_COPY, [[STOP, [STOP, RUNNING, RUNNING_P2P, RESUMING]]]],
  [RESUMING, [[STOP, [STOP, RUNNING, RUNNING_P2P, STOP_COPY, PRE_COPY, PRE_COPY_P2P]]]],
] as const);

/** The features that a state needs. */
function needs(state: number): number {
  const p2p = state === RUNNING_P2P || state === PRE_COPY_P2P ? uapi.VFIO_MIGRATION_P2P : 0;
  const preCopy = state === PRE_COPY || state === PRE_COPY_P2P ? uapi.VFIO_MIGRATION_PRE_COPY : 0;
  return uapi.VFIO_MIGRATION_STOP_COPY | p2p | preCopy;
}

const has = (features: number, state: number): boolean => (needs(state) & ~features) === 0;

const neighbour = (from: number, to: number): number | undefined =>
  WAYS.get(from)?.find(([, reached]) => reached.includes(to))?.[0];

/** The next state on the way to another one. EINVAL: there is no such state, the device does not have it, or no way. */
export function nextState(from: number, to: number, features: number): Result<number> {
  if (to === ERROR || to >= uapi.VFIO_DEVICE_STATE_NR || !has(features, to)) return fail('EINVAL');
  let next = neighbour(from, to);
  while (next !== undefined && !has(features, next)) next = neighbour(next, to);
  return next === undefined ? fail('EINVAL') : ok(next);
}

/** The device starts requests of its own: DMA and interrupts. */
export const initiates = (state: number): boolean => state === RUNNING || state === PRE_COPY;
/** Writes to its registers change it. */
export const responds = (state: number): boolean => initiates(state) || state === RUNNING_P2P || state === PRE_COPY_P2P;
export const isPreCopy = (state: number): boolean => state === PRE_COPY || state === PRE_COPY_P2P;
/** A session that saves is open. */
export const saves = (state: number): boolean => isPreCopy(state) || state === STOP_COPY;
export const resumes = (state: number): boolean => state === RESUMING;
