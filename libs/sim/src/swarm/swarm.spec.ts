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

it('the first seeds are clean, looked at after every turn', async () => {
  for (let seed = 0; seed < 24; seed++) {
    const { findings } = await swarm(seed, { monitor: CLOSELY });
    expect([seed, findings]).toEqual([seed, []]);
  }
});
