/**
 * Recorded and actual answers, side by side.
 *
 * Rule: results are compared key by key and exactly; a key that one side has and the other has not is a difference. A key
 * that is an input of the step (`data` of a write) is no result of it.
 */
import { looseRule } from './loose.js';
import type { Outcome } from './outcome.js';
import { isInput } from './step-keys.js';
import { type Json, RESULT_KEYS, type ResultKey, type Step, type Trace } from './trace.js';

export interface Difference {
  readonly field: ResultKey;
  readonly expected: Json | undefined;
  readonly got: Json | undefined;
}

/** Deep equality; the order of keys does not matter. */
export function same(a: Json | undefined, b: Json | undefined): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const [left, right] = [a as Record<string, Json>, b as Record<string, Json>];
  const keys = Object.keys(left);
  return keys.length === Object.keys(right).length && keys.every((key) => key in right && same(left[key], right[key]));
}

export const differences = (trace: Trace, step: Step, outcome: Outcome): Difference[] =>
  RESULT_KEYS.flatMap((field): Difference[] => {
    const expected = step[field];
    const got = outcome[field] as Json | undefined;
    return isInput(step.op, field) || same(expected, got) || looseRule(trace, step, field, got)
      ? []
      : [{ field, expected, got }];
  });
