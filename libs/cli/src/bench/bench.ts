/**
 * What a benchmark is.
 *
 * Words: a *figure* is one measured value with its *denominator*: another value of the same run on the same machine.
 * Rule: only ratios are worth comparing between machines; a value without its denominator says nothing.
 */
import type { Engine } from '../engine.js';

export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly denominator: { readonly name: string; readonly value: number };
  readonly ratio: number;
}

export interface Bench {
  readonly name: string;
  readonly about: string;
  run(engine: Engine): Promise<Figure[]>;
}

export const figure = (name: string, value: number, unit: string, of: string, base: number): Figure => ({
  name,
  value,
  unit,
  denominator: { name: of, value: base },
  ratio: value / base,
});

/** Median time of `work`, microseconds, after a tenth as many rounds to warm up. */
export async function medianTime(rounds: number, work: () => Promise<unknown>): Promise<number> {
  for (let i = 0; i < rounds / 10; i++) await work();
  const times = new Float64Array(rounds);
  for (let i = 0; i < rounds; i++) {
    const began = performance.now();
    await work();
    times[i] = performance.now() - began;
  }
  times.sort();
  return times[rounds >> 1]! * 1000;
}
