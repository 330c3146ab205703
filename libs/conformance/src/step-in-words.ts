/** A step as a person would write the call. */
import type { Json, Step } from './trace.js';

/** Keys that come first, and without their names. */
const HEAD = ['fd', 'req', 'path', 'addr', 'in', 'arg'];
const NAMED = ['tail', 'flags', 'off', 'len', 'prot', 'width', 'count', 'values', 'data', 'cur', 'uid', 'ms'];
/** A value longer than this is cut. */
const MAX_VALUE = 160;

const cut = (text: string): string => (text.length > MAX_VALUE ? `${text.slice(0, MAX_VALUE)}…` : text);
const plain = (value: Json): string => cut(JSON.stringify(value).replaceAll('"', ''));

export function stepInWords(step: Step): string {
  const given = (key: string): boolean => step[key] !== undefined;
  const head = HEAD.filter(given).map((key) => plain(step[key]!));
  const rest = NAMED.filter(given).map((key) => `${key} ${plain(step[key]!)}`);
  const process = step['proc'] === undefined ? '' : `${plain(step['proc'])}: `;
  return `${process}${step.op}(${[...head, ...rest].join(', ')})`;
}
