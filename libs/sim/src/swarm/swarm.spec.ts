import { CLOSELY, swarm } from './swarm.js';

it('the same seed does the same, to the journals, and other seeds something else', async () => {
  for (const seed of [3, 10, 29]) {
    const [one, two] = [await swarm(seed), await swarm(seed)];
    expect(two).toEqual(one);
    expect((await swarm(seed + 6)).hashes).not.toEqual(one.hashes);
  }
});

it('told to let only some faults happen it lets no others happen; told all of them it runs as before', async () => {
  const whole = await swarm(8);
  expect(whole.faults.length).toBeGreaterThan(20);
  expect(await swarm(8, { only: new Set(whole.faults) })).toEqual(whole);
  const some = new Set(whole.faults.slice(0, 10));
  const part = await swarm(8, { only: some });
  expect(part.faults.length).toBeGreaterThan(0);
  expect(part.faults.filter((name) => !some.has(name))).toEqual([]);
  expect((await swarm(8, { only: new Set() })).faults).toEqual([]);
});

const TROUBLES = [
  ...['lose', 'double', 'delay', 'crash', 'kill'],
  ...['cut', 'clog', 'pause', 'slow-disk', 'full-disk', 'jump', 'power'],
];

it('the first seeds are clean, looked at after every turn, and bring every kind of trouble', async () => {
  const kinds = new Set<string>();
  const sums = { calls: 0, foretold: 0, dma: 0 };
  for (let seed = 0; seed < 24; seed++) {
    const { findings, faults, counts } = await swarm(seed, { monitor: CLOSELY });
    expect([seed, findings]).toEqual([seed, []]);
    for (const name of faults) kinds.add(name.split(' ')[0]!);
    for (const what of ['calls', 'foretold', 'dma'] as const) sums[what] += counts[what]!;
  }
  expect([...kinds].sort()).toEqual([...TROUBLES].sort());
  expect(sums.calls).toBeGreaterThan(1000);
  expect(sums.foretold).toBeGreaterThan(800);
  expect(sums.dma).toBeGreaterThan(200);
}, 120_000);
