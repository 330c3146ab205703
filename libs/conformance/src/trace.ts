/**
 * What a trace is: a program and what a real kernel answered to each of its steps.
 *
 * Words: a *step* is one system call, or one access to memory; its *input* keys say what to do and its *result* keys what
 * the kernel answered. A *variable* (`$name`) holds an fd, an object id, an address or a number.
 * Rule: the form is `vfio-oracle-trace/1`, JSON Lines: a header, then one step on every line.
 */

export const FORMAT = 'vfio-oracle-trace/1';

/** Keys that are compared, in the order in which they are reported. */
export const RESULT_KEYS = ['ret', 'errno', 'out', 'data', 'vars', 'text', 'entries'] as const;
export type ResultKey = (typeof RESULT_KEYS)[number];

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type JsonObject = Readonly<Record<string, Json>>;

export interface Step extends JsonObject {
  readonly i: number;
  readonly op: string;
}

export interface TraceHeader {
  readonly name: string;
  readonly title: string;
  readonly machine: string;
  readonly kernel: string;
  readonly tags: readonly string[];
  /** Family of a random program; undefined for a program that a person wrote. */
  readonly family: string | undefined;
  /** Steps whose recorded answers differed from run to run. */
  readonly nondeterministic: ReadonlySet<number>;
}

export interface Trace extends TraceHeader {
  /** File it was read from. */
  readonly file: string;
  readonly steps: readonly Step[];
}

/** `r1` of random programs; the letter of a person's (`b` of `b013-…`). */
export const familyOf = ({ family, name }: TraceHeader): string => family ?? name.slice(0, 1);
