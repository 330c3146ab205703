/**
 * What a seed draws: which kinds of trouble, and how much of each.
 *
 * Words: a *swarm* draw turns each kind on or off for the whole run, so that rare combinations come up too.
 */
import type { Costs } from './costs.js';
import { Dice } from './dice.js';
import { WINDOW_KINDS, type WindowKind } from './faults/windows.js';

export interface SimOptions {
  /** Probability that a frame is lost, doubled, or held back. */
  readonly loss: number;
  readonly duplication: number;
  readonly delay: number;
  /** Longest delay of a frame that is held back, ms. */
  readonly delayMs: number;
  /**
   * Probability that a service crashes at a frame that it takes or sends, or before, in the middle of or after writing a
   * record; and the most crashes of the run.
   */
  readonly crash: number;
  readonly maxCrashes: number;
  readonly downMs: number;
  /** Troubles that last for a while: how many of each kind, how long at most, and before when they begin, ms. */
  readonly windows: Readonly<Partial<Record<WindowKind, number>>>;
  readonly windowMs: number;
  readonly horizonMs: number;
  /** Probability that a client is killed when it makes a call. */
  readonly kill: number;
  /** Inputs between snapshots; 0 = none. */
  readonly snapshotEvery: number;
  /** What work costs; nothing when left out. */
  readonly costs?: Costs;
}

export const CALM: SimOptions = {
  loss: 0,
  duplication: 0,
  delay: 0,
  delayMs: 0,
  crash: 0,
  maxCrashes: 0,
  downMs: 0,
  windows: {},
  windowMs: 0,
  horizonMs: 0,
  kill: 0,
  snapshotEvery: 0,
};

/** Windows of one kind in a run, at most. */
const MOST_WINDOWS = 3;

/** The options of a seed. Seed 0 is calm: nothing goes wrong. */
export function drawOptions(seed: number): SimOptions {
  if (seed === 0) return CALM;
  const dice = new Dice(seed);
  const maybe = (kind: string, most: number): number =>
    dice.chance(`swarm:${kind}`, 0.6) ? dice.unit(`rate:${kind}`) * most : 0;
  const windows = WINDOW_KINDS.flatMap((kind) =>
    dice.chance(`swarm:${kind}`, 0.3) ? [[kind, 1 + dice.below(`windows:${kind}`, MOST_WINDOWS)]] : [],
  );
  return {
    loss: maybe('loss', 0.2),
    duplication: maybe('duplication', 0.2),
    delay: maybe('delay', 0.3),
    delayMs: 1 + dice.below('delayMs', 400),
    crash: maybe('crash', 0.02),
    maxCrashes: 1 + dice.below('maxCrashes', 8),
    downMs: 1 + dice.below('downMs', 1500),
    windows: Object.fromEntries(windows) as SimOptions['windows'],
    windowMs: 1 + dice.below('windowMs', 3000),
    horizonMs: 1 + dice.below('horizonMs', 20_000),
    kill: dice.chance('swarm:kill', 0.4) ? dice.unit('rate:kill') * 0.02 : 0,
    snapshotEvery: dice.chance('swarm:snapshot', 0.5) ? 8 + dice.below('snapshotEvery', 200) : 0,
  };
}
