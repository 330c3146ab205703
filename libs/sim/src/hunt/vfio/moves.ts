/**
 * What a random program can do next.
 *
 * Words: a *move* is one thing done, with the calls it takes; its *weight* says how often it is chosen among those that have
 * something to work on.
 */
import type { Chance } from '../chance.js';
import type { ContainerFile, Model } from './model.js';
import type { Program } from './program.js';

export interface Move {
  readonly name: string;
  readonly weight: number;
  /** Is there something to do it with? Always, when left out. */
  readonly has?: (model: Model, p: Program) => boolean;
  readonly run: (p: Program) => Promise<unknown>;
}

export function choose(moves: readonly Move[], p: Program): Move {
  const possible = moves.filter(({ has }) => !has || has(p.model, p));
  let left = p.chance.below(possible.reduce((sum, { weight }) => sum + weight, 0));
  for (const move of possible) if ((left -= move.weight) < 0) return move;
  throw new Error('there is always a move');
}

/** One of the list, which may be empty. */
export const any = <T>(chance: Chance, from: readonly T[]): T | undefined =>
  from.length === 0 ? undefined : chance.pick(from);

/** One of those that promise something; once in a while any other. */
export function likely<T>(chance: Chance, from: readonly T[], promises: (each: T) => boolean): T {
  const good = from.filter(promises);
  return chance.pick(good.length > 0 && !chance.once(12) ? good : from);
}

/** Nothing can be foretold of the device, from its open on. */
export const isOdd = ({ yard }: Program, name: string): boolean => !yard.engines.has(name) || yard.faulty.has(name);

export const hasBackend = ({ type }: ContainerFile): boolean => type !== 0;
