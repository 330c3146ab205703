/** A step as a person would write the call. */
import type { Json, Step } from './trace.js';

const SKIPPED: ReadonlySet<string> = new Set(['fd', 'req', 'in', 'addr', 'path']);
const INPUTS = [
  'in',
  'tail',
  'arg',
  'flags',
  'off',
  'len',
  'prot',
  'width',
  'count',
  'values',
  'data',
  'cur',
  'uid',
  'ms',
];
/** A value longer than this is cut. */
const MAX_VALUE = 160;

const cut = (text: string): string => (text.length > MAX_VALUE ? `${text.slice(0, MAX_VALUE)}…` : text);
const plain = (value: Json): string => cut(JSON.stringify(value).replaceAll('"', ''));

export function stepInWords(step: Step): string {
  const head = [step['fd'], step['req'], step['path'], step['addr']].filter((each) => each !== undefined);
  const rest = INPUTS.filter((key) => step[key] !== undefined).map((key) =>
    SKIPPED.has(key) || key === 'arg' ? plain(step[key]!) : `${key} ${plain(step[key]!)}`,
  );
  const process = step['proc'] === undefined ? '' : `${plain(step['proc'])}: `;
  return `${process}${step.op}(${[...head.map((each) => plain(each!)), ...rest].join(', ')})`;
}
