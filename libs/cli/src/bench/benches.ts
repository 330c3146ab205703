/**
 * The benchmarks that there are. Each measures its denominators in the same run.
 *
 * Rule: what a benchmark measures is loaded when it runs: other commands read only this table.
 */
import type { Engine } from '../engine.js';
import { DEMO_FILE } from '../commands/demo.js';
import { loadScenario } from '../run-scenario.js';
import { type Bench, type Figure, figure, medianTime } from './bench.js';
import { DeviceLab } from './device-lab.js';

const HUGE_ROUNDS = 50;
const GIB = 2 ** 30;

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

/** How fast journals are read, checked and executed again, beside the runs that wrote them. */
async function replay(engine: Engine): Promise<Figure[]> {
  const { maps, optionGet } = await import('./ioctls.js');
  const figures: Figure[] = [];
  const loads = [
    ['one-service ioctls', (lab: DeviceLab) => optionGet(lab, { inFlight: 64, requests: 300_000 })],
    ['IOAS_MAPs', (lab: DeviceLab) => maps(lab, { inFlight: 64, requests: 40_000 })],
  ] as const;
  for (const [name, load] of loads) {
    const { inputs, runSeconds, replaySeconds } = await DeviceLab.recorded(engine, load);
    const base = `inputs of the run of ${name} itself`;
    figures.push(figure(`inputs replayed, ${name}`, inputs / replaySeconds, '1/s', base, inputs / runSeconds));
  }
  return figures;
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
  {
    name: 'transport',
    about: 'request and reply over NATS: raw, stock Nest, ours',
    run: async () => (await import('./transport.js')).transport(),
  },
  {
    name: 'ioctl',
    about: 'ioctls through one and three services in this process',
    run: async (engine) => (await import('./ioctls.js')).ioctls(engine),
  },
  {
    name: 'ioctl-nats',
    about: 'the same with one process a service on NATS',
    run: async (engine) => (await import('./ioctls.js')).ioctlsOnNats(engine),
  },
  { name: 'translate', about: 'one IOVA to its frame', run: async () => (await import('./translate.js')).translate() },
  { name: 'memory', about: 'what a mapped page costs', run: async () => (await import('./translate.js')).memory() },
  { name: 'mapping', about: 'large memory against one page', run: mapping },
  {
    name: 'vfio-user',
    about: 'a device of a lab on a socket against a server in C that only answers',
    run: async () => (await import('./vfio-user.js')).vfioUser(),
  },
  {
    name: 'nvme',
    about: 'a disk of a lab, driven without a guest',
    run: async () => (await import('./nvme.js')).nvme(),
  },
  {
    name: 'cluster',
    about: "placements on a cluster against the FGD authors' simulator",
    run: async () => (await import('./cluster.js')).cluster(),
  },
  { name: 'replay', about: 'seeing a run again against making it', run: replay },
  { name: 'simulation', about: 'a run with faults against one without', run: simulation },
];
