import { fileURLToPath } from 'node:url';
import { readScenarioFile } from '@vfiolab/scenario';
import { CALM, drawOptions, simulate, type SimResult } from './index.js';

const demo = readScenarioFile(fileURLToPath(new URL('../../cli/scenarios/demo.yaml', import.meta.url)));

const answers = (r: SimResult): unknown[] => r.scenario.transcript.map(({ call, answer }) => [call, answer]);
const states = (r: SimResult): Record<string, string> =>
  Object.fromEntries(r.end.actors.map((a) => [a.address, a.stateHash]));
const journals = (r: SimResult): unknown[] =>
  r.end.actors.map(({ address, seq, clock, journalHash }) => [address, seq, clock, journalHash]);

describe('the demo in virtual time', () => {
  let calm: SimResult;
  beforeAll(async () => {
    calm = await simulate(demo, { seed: 0 });
  });

  it('ends as it should when nothing goes wrong', () => {
    expect(calm.scenario.failure).toBeUndefined();
    expect(calm.end.broken).toEqual([]);
    expect(calm.network).toMatchObject({ lost: 0, doubled: 0, delayed: 0 });
  });

  // 10 tests of 10 seeds each, so that a failure names its neighbourhood and the runner shows progress.
  it.each(Array.from({ length: 10 }, (_, i) => [10 * i + 1, 10 * i + 10]))(
    'seeds %i to %i: frames lost, doubled, late, services crashed: the same answers, the same state, nothing left over',
    async (from, to) => {
      for (let seed = from; seed <= to; seed++) {
        const run = await simulate(demo, { seed });
        expect([seed, run.scenario.failure]).toEqual([seed, undefined]);
        expect([seed, answers(run)]).toEqual([seed, answers(calm)]);
        expect([seed, states(run)]).toEqual([seed, states(calm)]);
        expect([seed, run.end.broken]).toEqual([seed, []]);
      }
    },
    60_000,
  );

  it('the same seed gives the same run, to the journals', async () => {
    for (const seed of [2, 3, 48]) {
      const [one, two] = [await simulate(demo, { seed }), await simulate(demo, { seed })];
      expect(journals(one)).toEqual(journals(two));
      expect(one.network).toEqual(two.network);
    }
  });
});

it('the seeds of the tests do bring trouble of every kind', () => {
  const drawn = Array.from({ length: 200 }, (_, i) => drawOptions(i + 1));
  for (const kind of ['loss', 'duplication', 'delay', 'crash', 'snapshotEvery'] as const) {
    const with_ = drawn.filter((o) => o[kind] > 0).length;
    expect(with_).toBeGreaterThan(60);
    expect(with_).toBeLessThan(180);
  }
  expect(drawOptions(0)).toEqual(CALM);
});
