/** What every kind of step is given, and its form. */
import type { Json, Step } from '../trace.js';
import type { Outcome } from '../outcome.js';
import type { Program, Task } from '../program.js';
import { BadValue } from '../values.js';

export interface StepContext {
  readonly step: Step;
  readonly task: Task;
  readonly program: Program;
}

export type StepRunner = (context: StepContext) => Promise<Outcome> | Outcome;

/** A key that must hold a text. */
export function textOf(step: Step, key: string): string {
  const value: Json | undefined = step[key];
  if (typeof value !== 'string') throw new BadValue(`${key}: a text is needed, not ${JSON.stringify(value)}`);
  return value;
}

/** `a|b` as a set. */
export const words = (value: Json | undefined): ReadonlySet<string> =>
  new Set(typeof value === 'string' ? value.split('|') : []);
