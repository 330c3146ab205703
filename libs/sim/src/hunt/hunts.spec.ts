import { hunt } from './hunts.js';

it.each([
  ['fuzz', 5, { calls: 9000, refused: 5000 }],
  ['fail-nth', 4, { failures: 10, leaks: 0 }],
  ['races', 4, { races: 100 }],
  ['linearise', 4, { histories: 1, calls: 96 }],
  ['vfio', 4, { calls: 30, refused: 10 }],
  ['swarm', 16, { calls: 30, foretold: 10, faults: 5 }],
] as const)(
  'a seed of %s finds nothing, and says what it did; the same seed does the same',
  async (which, seed, least) => {
    const hunted = await hunt(which, seed);
    expect(hunted.findings).toEqual([]);
    for (const [what, count] of Object.entries(least)) expect(hunted.counts[what]).toBeGreaterThanOrEqual(count);
    if (which !== 'fuzz') expect(await hunt(which, seed)).toEqual(hunted);
  },
  60_000,
);
