import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { readScenario } from '@vfiolab/scenario';
import { simulate, type SimResult } from './index.js';

const FILE = fileURLToPath(new URL('../../cli/scenarios/designs-2010.yaml', import.meta.url));
const scenario = readScenario(readFileSync(FILE, 'utf8'), FILE);

const answers = (r: SimResult): unknown[] => r.scenario.transcript.map(({ call, answer }) => [call, answer]);
const states = (r: SimResult): Record<string, string> =>
  Object.fromEntries(r.end.actors.map((a) => [a.address, a.stateHash]));

it('the designs of 2010: frames lost, doubled, late, services crashed: the same answers, the same state', async () => {
  const calm = await simulate(scenario, { seed: 0 });
  expect([calm.scenario.failure, calm.end.broken]).toEqual([undefined, []]);
  for (let seed = 1; seed <= 16; seed++) {
    const run = await simulate(scenario, { seed });
    expect([seed, run.scenario.failure, run.end.broken]).toEqual([seed, undefined, []]);
    expect([seed, answers(run)]).toEqual([seed, answers(calm)]);
    expect([seed, states(run)]).toEqual([seed, states(calm)]);
  }
}, 120_000);

it('what docs/2010-designs.md shows is what the scenario prints', async () => {
  const page = readFileSync(new URL('../../../docs/2010-designs.md', import.meta.url), 'utf8');
  const shown = [...page.matchAll(/^ {2,3}(\d+) (.+ = .+)$/gm)].map(([, step, line]) => [Number(step), line]);
  expect(shown.length).toBeGreaterThan(5);
  const { transcript } = (await simulate(scenario, { seed: 0 })).scenario;
  const printed = transcript.map(({ step, call, answer }) => [step, `${call} = ${answer}`]);
  expect(printed).toEqual(expect.arrayContaining(shown));
});
