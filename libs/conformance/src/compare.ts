/**
 * Recorded and actual answers, side by side.
 *
 * Rule: results are compared key by key and exactly; a key that one side has and the other has not is a difference. A key
 * that is an input of the step (`data` of a write) is no result of it.
 */
import { looseRule } from './loose.js';
import type { Outcome } from './outcome.js';
import { same } from './same.js';
import { isInput } from './step-keys.js';
import { type Json, RESULT_KEYS, type ResultKey, type Step, type Trace } from './trace.js';

export interface Difference {
  readonly field: ResultKey;
  readonly expected: Json | undefined;
  readonly got: Json | undefined;
}

export const differences = (trace: Trace, step: Step, outcome: Outcome): Difference[] =>
  RESULT_KEYS.flatMap((field): Difference[] => {
    const expected = step[field];
    const got = outcome[field] as Json | undefined;
    return isInput(step.op, field) || same(expected, got) || looseRule(trace, step, field, got)
      ? []
      : [{ field, expected, got }];
  });
