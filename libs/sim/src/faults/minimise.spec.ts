import { minimise } from './minimise.js';

const NAMES = Array.from({ length: 200 }, (_, i) => `fault ${i}`);

/** Fails when all of these are there. */
const needs = (...wanted: number[]) => {
  const names = wanted.map((n) => `fault ${n}`);
  return (only: ReadonlySet<string>) => Promise.resolve(names.every((name) => only.has(name)));
};

it.each([[[7]], [[0, 199]], [[3, 50, 51, 120]]])('finds that it takes %j of 200', async (wanted) => {
  const { faults, runs, minimal } = await minimise(NAMES, needs(...wanted), 500);
  expect([faults, minimal]).toEqual([wanted.map((n) => `fault ${n}`), true]);
  expect(runs).toBeLessThan(250);
});

it('finds that it takes none', async () =>
  expect(await minimise(NAMES, () => Promise.resolve(true), 100)).toEqual({ faults: [], runs: 1, minimal: true }));

it('stops after so many runs with something that fails', async () => {
  const fails = needs(...Array.from({ length: 40 }, (_, i) => 5 * i));
  const { faults, runs, minimal } = await minimise(NAMES, fails, 60);
  expect([await fails(new Set(faults)), minimal]).toEqual([true, false]);
  expect(runs).toBe(60);
});
