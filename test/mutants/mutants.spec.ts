/**
 * Planted mistakes are found.
 *
 * Rule: the quick ones are looked for here; `npm run test:mutants` looks for all, with as many seeds as it takes.
 */
import { mutants, mutate } from './mutants.mjs';
import { seek } from './seeker.mjs';

it('there are at least 12, and each has a name of its own', () => {
  expect(new Set(mutants.map(({ name }) => name)).size).toBe(mutants.length);
  expect(mutants.length).toBeGreaterThanOrEqual(12);
});

it.each(mutants.map((mutant) => [mutant.name, mutant] as const))('%s fits the sources', (_name, mutant) => {
  expect(mutate(mutant)).not.toBe('');
});

const QUICK: readonly (readonly [name: string, ...range: string[]])[] = [
  ['acknowledges-before-durable', 'crash-points', '0', '100000', '11'],
  ['forgets-answers-on-restart', 'faults', '1', '60', '1'],
  ['keeps-no-answers', 'faults', '1', '60', '1'],
  ['locks-do-not-hold', 'races', '1', '60', '1'],
  ['owner-before-blocking', 'vfio', '1', '20', '1'],
];
it.each(QUICK)('%s is found', (name, ...range) => expect(seek(name, ...range).found).toBeDefined(), 120_000);

it('nothing is found where nothing was planted', () => {
  expect(seek('', 'faults', '1', '20', '1')).toEqual({ tried: 20 });
  expect(seek('', 'crash-points', '0', '1000', '97').found).toBeUndefined();
}, 120_000);
