/** What a fault plan did, for people. */
import type { RuleStatus } from '@vfiolab/core';

const count = (n: number): string => (n === 1 ? 'once' : `${n} times`);

/** A line for each rule. */
export function planTable(status: readonly RuleStatus[]): string[] {
  const width = Math.max(0, ...status.map(({ name }) => name.length));
  return status.map(({ name, words, seen, fired, held }) => {
    const did = fired === 0 ? `never (of ${seen})` : `${count(fired)}${seen > fired ? ` of ${seen}` : ''}`;
    return `  ${name.padEnd(width)}  ${did}${held > 0 ? `, ${held} held` : ''}: ${words}`;
  });
}
