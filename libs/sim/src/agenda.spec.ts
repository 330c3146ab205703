import { Agenda } from './agenda.js';
import { Dice } from './dice.js';

it('events happen in the order of their time, then of their planning', () => {
  const agenda = new Agenda();
  const dice = new Dice(7);
  const expected: [number, number][] = [];
  const seen: [number, number][] = [];
  for (let i = 0; i < 2000; i++) {
    const at = dice.below(`at ${i}`, 50);
    expected.push([at, i]);
    agenda.after(at, () => seen.push([agenda.now, i]));
  }
  while (agenda.step());
  expect(seen).toEqual(expected.sort((a, b) => a[0] - b[0] || a[1] - b[1]));
});

it('a decision depends on the seed and on what it is about, and on nothing else', () => {
  const dice = new Dice(1);
  const first = dice.unit('lose a>b#1');
  for (let i = 0; i < 100; i++) dice.unit(`something else ${i}`);
  expect(dice.unit('lose a>b#1')).toBe(first);
  expect(new Dice(2).unit('lose a>b#1')).not.toBe(first);
});

it('decisions are spread evenly', () => {
  const dice = new Dice(3);
  const hits = Array.from({ length: 10_000 }, (_, i) => dice.chance(`x ${i}`, 0.2)).filter(Boolean).length;
  expect(hits).toBeGreaterThan(1850);
  expect(hits).toBeLessThan(2150);
});
