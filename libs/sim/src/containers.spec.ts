import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { readScenario } from '@vfiolab/scenario';
import { simulate, type SimResult } from './index.js';

const FILE = fileURLToPath(new URL('../../cli/scenarios/containers.yaml', import.meta.url));
const text = readFileSync(FILE, 'utf8');
const byIommufd = text
  .replace('vfioContainer: vfio', 'vfioContainer: iommufd')
  .replaceAll(/ *expect: { errno: \w+ } # with iommufd: 0\n/g, '');

const answers = (r: SimResult): unknown[] => r.scenario.transcript.map(({ call, answer }) => [call, answer]);
const states = (r: SimResult): Record<string, string> =>
  Object.fromEntries(r.end.actors.map((a) => [a.address, a.stateHash]));

describe.each([
  ['VFIO', text],
  ['iommufd', byIommufd],
])('a program of groups and containers, served by %s', (_who, source) => {
  const scenario = readScenario(source, FILE);
  let calm: SimResult;
  beforeAll(async () => {
    calm = await simulate(scenario, { seed: 0 });
  });

  it('ends as it should when nothing goes wrong', () => {
    expect(calm.scenario.failure).toBeUndefined();
    expect(calm.end.broken).toEqual([]);
  });

  it.each(Array.from({ length: 4 }, (_, i) => [10 * i + 1, 10 * i + 10]))(
    'seeds %i to %i: frames lost, doubled, late, services crashed: the same answers, the same state, nothing left over',
    async (from, to) => {
      for (let seed = from; seed <= to; seed++) {
        const run = await simulate(scenario, { seed });
        expect([seed, run.scenario.failure]).toEqual([seed, undefined]);
        expect([seed, answers(run)]).toEqual([seed, answers(calm)]);
        expect([seed, states(run)]).toEqual([seed, states(calm)]);
        expect([seed, run.end.broken]).toEqual([seed, []]);
      }
    },
    60_000,
  );
});
