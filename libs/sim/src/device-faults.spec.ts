import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { readScenario } from '@vfiolab/scenario';
import { simulate, type SimResult } from './index.js';

const FILE = fileURLToPath(new URL('../../cli/scenarios/device-faults.yaml', import.meta.url));
const scenario = readScenario(readFileSync(FILE, 'utf8'), FILE);

const answers = (r: SimResult): unknown[] => r.scenario.transcript.map(({ call, answer }) => [call, answer]);
const states = (r: SimResult): Record<string, string> =>
  Object.fromEntries(r.end.actors.map((a) => [a.address, a.stateHash]));

it('faults of devices: frames lost, doubled, late, services crashed: the same answers, the same state', async () => {
  const calm = await simulate(scenario, { seed: 0 });
  expect([calm.scenario.failure, calm.end.broken]).toEqual([undefined, []]);
  for (let seed = 1; seed <= 8; seed++) {
    const run = await simulate(scenario, { seed });
    expect([seed, run.scenario.failure, run.end.broken]).toEqual([seed, undefined, []]);
    expect([seed, answers(run)]).toEqual([seed, answers(calm)]);
    expect([seed, states(run)]).toEqual([seed, states(calm)]);
  }
}, 120_000);
