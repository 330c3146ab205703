import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const at = (path: string): string => fileURLToPath(new URL(`../../../../${path}`, import.meta.url));
const rows = readFileSync(at('docs/simulation.md'), 'utf8')
  .split('\n')
  .flatMap((line) => (/^\| I\d\d /.test(line) ? [line.split('|').map((cell) => cell.trim())] : []))
  .map(([, number, , where, when]) => ({ number: number!, where: where!, when: when! }));
const paths = (text: string): string[] => [...text.matchAll(/`((?:libs|test)\/[^`]+)`/g)].map(([, path]) => path!);

it('the table of docs/simulation.md has each of the 58 invariants once', () =>
  expect(rows.map(({ number }) => number)).toEqual(
    Array.from({ length: 58 }, (_, i) => `I${String(i + 1).padStart(2, '0')}`),
  ));

it.each(rows)('$number is looked at where the table says', ({ number, where, when }) => {
  for (const path of paths(where))
    expect([path, readFileSync(at(path), 'utf8').includes(number)]).toEqual([path, true]);
  if (where === 'not by itself') expect(when.length).toBeGreaterThan(30);
  else expect(paths(where).length).toBeGreaterThan(0);
  for (const path of paths(when)) expect([path, existsSync(at(path))]).toEqual([path, true]);
});
