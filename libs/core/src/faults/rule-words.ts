/** A rule as a sentence, for people. */
import { FAULT_PARAMETERS } from '../protocol/device-faults.js';
import type { Clause, FaultRule, RawRule } from './rule.js';

const ENDINGS = ['th', 'st', 'nd', 'rd'];
const ordinal = (n: unknown): string => {
  const [tens, ones] = [Math.floor(Number(n) / 10) % 10, Number(n) % 10];
  return `${String(n)}${tens === 1 ? 'th' : (ENDINGS[ones] ?? 'th')}`;
};
const plain = (value: unknown): string => String(value);
const times = (n: unknown): string => (n === 1 ? 'once' : `${String(n)} times at most`);

/** Clauses in the order in which they are said, each with the words before it, and how its value is said. */
const SAID: readonly (readonly [Clause, string, (value: unknown) => string])[] = [
  ['with', ' with ', plain],
  ['at', ' at its ', plain],
  ['of', ' of ', plain],
  ['from', ' from ', plain],
  ['to', ' to ', plain],
  ['by', ' by ', plain],
  ['nth', ', from the ', (n) => `${ordinal(n)} on`],
  ['every', ', every ', ordinal],
  ['times', ', ', times],
  ['after', ', after ', plain],
  ['for', ' for ', plain],
];

const isParameter = (key: string): boolean => Object.hasOwn(FAULT_PARAMETERS, key);

/** The parameters of a device's fault. */
const parametersOf = (raw: RawRule): string =>
  Object.entries(raw)
    .filter(([key]) => isParameter(key) && (key === 'every' || !SAID.some(([clause]) => clause === key)))
    .map(([key, value]) => ` ${key}=${value}`)
    .join('');

export function ruleWords({ verb, raw }: Pick<FaultRule, 'verb' | 'raw'>): string {
  const said = SAID.filter(([clause]) => raw[clause] !== undefined && !(verb === 'break' && clause === 'every'));
  const clauses = said.map(([clause, before, say]) => `${before}${say(raw[clause])}`);
  return `${verb} ${raw[verb]}${clauses.join('')}${verb === 'break' ? parametersOf(raw) : ''}`;
}
