/**
 * Is an answer the expected one?
 *
 * Rule: what is not named in an expectation does not matter, except success: a call that is not expected to fail must not.
 */
import type { Answer, Fact } from './actions/action.js';
import type { Expect, Num } from './scenario.js';
import { evaluate, hexBytes, toHex, type Variables } from './values.js';
import { factInWords } from './struct-values.js';
import { written } from './words.js';

export interface Mismatch {
  readonly expected: string;
  readonly got: string;
}

/** The first thing that differs; undefined when nothing does. */
export function judge(expect: Expect, answer: Answer, variables: Variables): Mismatch | undefined {
  const { errno, ...facts } = expect;
  if (answer.errno !== errno) return { expected: errno ?? 'success', got: answer.errno ?? `success: ${answer.words}` };
  for (const [name, wanted] of Object.entries(facts)) {
    const difference = compare(name, wanted, answer.facts[name], variables);
    if (difference) return difference;
  }
  return undefined;
}

function compare(path: string, wanted: unknown, fact: Fact | undefined, variables: Variables): Mismatch | undefined {
  const name = path.slice(path.lastIndexOf('.') + 1);
  const got = fact === undefined ? 'nothing' : factInWords(name, fact);
  const unlike = (expected: string): Mismatch => ({ expected: `${path} ${expected}`, got: `${path} ${got}` });
  if (fact === undefined) return unlike(inWords(name, wanted, variables));
  if (fact instanceof Uint8Array) return compareBytes(wanted, fact, unlike);
  if (typeof fact === 'bigint') {
    const value = evaluate(wanted as Num, variables);
    return sameNumber(value, fact) ? undefined : unlike(written(name, wanted as Num, value));
  }
  if (typeof fact !== 'object') return fact === wanted ? undefined : unlike(String(wanted));
  if (isFacts(fact)) return compareLists(path, wanted as unknown[], fact, variables, unlike);
  for (const [key, each] of Object.entries(wanted as object)) {
    const difference = compare(`${path}.${key}`, each, fact[key], variables);
    if (difference) return difference;
  }
  return undefined;
}

const isFacts = (fact: Fact): fact is readonly Fact[] => Array.isArray(fact);

/** -1 in a file means all ones in a field of any width. */
const sameNumber = (wanted: bigint, fact: bigint): boolean =>
  wanted === fact || (wanted < 0n && (BigInt.asUintN(64, wanted) === fact || BigInt.asUintN(32, wanted) === fact));

function compareBytes(wanted: unknown, fact: Uint8Array, unlike: (expected: string) => Mismatch): Mismatch | undefined {
  const digits = typeof wanted === 'string' ? wanted : String((wanted as { hex?: string }).hex);
  return toHex(hexBytes(digits)) === toHex(fact) ? undefined : unlike(digits);
}

function compareLists(
  path: string,
  wanted: readonly unknown[],
  fact: readonly Fact[],
  variables: Variables,
  unlike: (expected: string) => Mismatch,
): Mismatch | undefined {
  if (wanted.length !== fact.length)
    return unlike(`with ${wanted.length} entries: ${inWords(path, wanted, variables)}`);
  for (const [i, each] of wanted.entries()) {
    const difference = compare(`${path}[${i}]`, each, fact[i], variables);
    if (difference) return difference;
  }
  return undefined;
}

function inWords(name: string, wanted: unknown, variables: Variables): string {
  if (Array.isArray(wanted)) return `[${wanted.map((each) => inWords(name, each, variables)).join(', ')}]`;
  if (typeof wanted === 'object' && wanted !== null)
    return `{${Object.entries(wanted)
      .map(([key, each]) => `${key}=${inWords(key, each, variables)}`)
      .join(', ')}}`;
  return String(wanted);
}
