/** The benchmarks that there are. Each measures its denominators in the same run. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Engine } from '../engine.js';
import { DEMO_FILE } from '../commands/demo.js';
import { loadScenario, runInLab } from '../run-scenario.js';
import { type Bench, type Figure, figure, medianTime } from './bench.js';
import { DeviceLab } from './device-lab.js';

const ROUNDS = 200;
const HUGE_ROUNDS = 50;
const GIB = 2 ** 30;

/** A call that one service answers against one that four services work on. */
async function calls(engine: Engine): Promise<Figure[]> {
  return DeviceLab.use(engine, async (lab) => {
    const va = await lab.memory(4096, 12);
    const one = await medianTime(ROUNDS, () => lab.process.status());
    const map = await medianTime(ROUNDS, () => lab.mapAndUnmap(va, 4096n));
    return [figure('MAP + UNMAP of 4 KiB', map, 'us', 'one call to one service', one)];
  });
}

/** Memory in large pages must cost by its runs, not by its size. */
async function mapping(engine: Engine): Promise<Figure[]> {
  return DeviceLab.use(engine, async (lab) => {
    const small = await lab.memory(4096, 12);
    const base = await medianTime(HUGE_ROUNDS, () => lab.mapAndUnmap(small, 4096n));
    const figures: Figure[] = [];
    for (const gib of [1, 4, 16]) {
      const va = await lab.memory(gib * GIB, 30);
      const time = await medianTime(HUGE_ROUNDS, () => lab.mapAndUnmap(va, BigInt(gib) << 30n));
      figures.push(figure(`MAP + UNMAP of ${gib} GiB in pages of 1 GiB`, time, 'us', 'MAP + UNMAP of 4 KiB', base));
    }
    return figures;
  });
}

/** How long it takes to see a run again. */
async function replay(engine: Engine): Promise<Figure[]> {
  const parent = mkdtempSync(join(tmpdir(), 'vfiolab-bench-'));
  try {
    const where = { dir: join(parent, 'run'), durability: 'process', nats: undefined } as const;
    const { dir, seconds } = await runInLab(engine, loadScenario(DEMO_FILE), where, {});
    const began = performance.now();
    await engine.replayRun(dir);
    return [figure('replay of the demo', (performance.now() - began) / 1000, 's', 'the demo itself', seconds)];
  } finally {
    rmSync(parent, { recursive: true, force: true });
  }
}

/** What faults cost a simulated run. */
async function simulation(engine: Engine): Promise<Figure[]> {
  const scenario = loadScenario(DEMO_FILE);
  const timed = (seed: number): Promise<number> => medianTime(10, () => engine.simulate(scenario, { seed }));
  const calm = await timed(0);
  return [
    figure(
      'simulated demo with the faults of seed 1',
      (await timed(1)) / 1000,
      'ms',
      'the same without faults',
      calm / 1000,
    ),
  ];
}

export const benches: readonly Bench[] = [
  { name: 'calls', about: 'a call through four services against a call to one', run: calls },
  { name: 'mapping', about: 'large memory against one page', run: mapping },
  { name: 'replay', about: 'seeing a run again against making it', run: replay },
  { name: 'simulation', about: 'a run with faults against one without', run: simulation },
];
