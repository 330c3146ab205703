/**
 * What a step answered in the lab.
 *
 * Words: an outcome *lacks* something when the lab has no such thing yet: it answers ENOSYS then, never as if it had.
 * Rule: result keys are those of the trace's form, so that an outcome and a recorded step compare key by key.
 */
import type { Errno, Result } from '@vfiolab/uapi';
import type { Json } from './trace.js';

/** Errnos, and what is no errno: a call that did not end in time, and the signals of a bad access to memory. */
export type StepErrno = Errno | 'BLOCKED' | 'SIGBUS' | 'SIGSEGV';

export interface Outcome {
  readonly ret: number | string;
  readonly errno?: StepErrno;
  readonly out?: Json;
  readonly data?: string;
  readonly vars?: Json;
  readonly text?: readonly string[];
  readonly entries?: readonly string[];
  /** What the lab has not got, in words. */
  readonly lacks?: string;
}

export const done = (ret: number | string = 0, more: Partial<Outcome> = {}): Outcome => ({ ret, ...more });
export const failure = (errno: StepErrno, more: Partial<Outcome> = {}): Outcome => ({ ret: -1, errno, ...more });
export const lacking = (what: string): Outcome => failure('ENOSYS', { lacks: what });

/** Of a call whose value is not shown. */
export const outcomeOf = (result: Result<unknown>): Outcome => (result.ok ? done() : failure(result.errno));
