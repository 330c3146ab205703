import { fileURLToPath } from 'node:url';
import { readScenarioFile } from '@vfiolab/scenario';
import { Sweep } from './sweep.js';
import { CRASH_POINTS } from './faults/crash-points.js';

const scenario = readScenarioFile(fileURLToPath(new URL('../../cli/scenarios/containers.yaml', import.meta.url)));
/** Of the points of a run, one in so many: with other numbers the services come to others. */
const EVERY = 29;

describe.each([0, 8])('a program of containers, a snapshot each %i inputs', (snapshotEvery) => {
  let sweep: Sweep;
  beforeAll(async () => {
    sweep = await Sweep.of(scenario, snapshotEvery);
  });

  it('has points of every kind at every service', () => {
    const kinds = new Set(sweep.points.map(({ address, point }) => `${address} ${point}`));
    const services = new Set(sweep.points.map(({ address }) => address));
    expect(services.size).toBe(7);
    expect(kinds.size).toBe(services.size * (CRASH_POINTS.length + 1));
  });

  it('ends alike wherever a service was killed or its disk was full', async () => {
    for (let i = snapshotEvery; i < sweep.points.length; i += EVERY) {
      const point = sweep.points[i]!;
      const { findings } = await sweep.trouble(point);
      expect([point, findings]).toEqual([point, []]);
    }
  }, 120_000);
});

it('a point that the run does not come to is told', async () => {
  const sweep = await Sweep.of(scenario, 0);
  const never = { ...sweep.points[0]!, nth: 1e6 };
  expect((await sweep.trouble(never)).findings).toEqual([expect.stringContaining(' 1000000')]);
});
