import { policies } from './policies/index.js';
import { Random } from './random.js';
import { run } from './run.js';
import { hostCosts } from './start-costs.js';
import { COLUMNS, gpuShape, hostsOf, podLines, runInput } from './testing/clusters.js';
import { Timeline } from './timeline.js';

const THEIRS = ['random', 'dotprod', 'gpuclustering', 'gpupacking', 'bestfit', 'fgd'];
const OURS = ['groups', 'numa', 'switches'];
const tallies = (input: Parameters<typeof run>[0]) =>
  new Map(policies.map((policy) => [policy.name, run(input, policy).tally()]));

describe('GPUs that share IOMMU groups of 1, 2 and 4', () => {
  const shapes = [1, 2, 4].map((perGroup) => gpuShape(`groups-of-${perGroup}`, 8, { perGroup }));
  const hosts = hostsOf(shapes, [20, 20, 20]);
  const lines = [...podLines(60, 1, 'any'), ...podLines(20, 2, 'any'), ...podLines(10, 4, 'any')];

  it('counting devices proposes hosts whose free GPUs are in groups of others; ours are never refused', () => {
    const found = tallies(runInput(hosts, lines, 1.3));
    for (const name of THEIRS) expect(found.get(name)!.refused).toBeGreaterThan(100);
    for (const name of OURS) expect(found.get(name)).toMatchObject({ refused: 0, refusals: 0 });
  });

  it('even if every pod tries all hosts, ours allocate more GPUs than each of the six', () => {
    const found = tallies(runInput(hosts, lines, 1.3, 1000));
    const best = Math.max(...THEIRS.map((name) => found.get(name)!.gpuAllocation));
    for (const name of OURS) {
      expect(found.get(name)!.gpuAllocation).toBeGreaterThan(best + 5);
      expect(found.get(name)!.refusals).toBe(0);
    }
  });
});

describe('jobs of 4 GPUs on one NUMA node, hosts of 2 x 4 H100', () => {
  const hosts = hostsOf([gpuShape('h100', 8, { numaNodes: 2, perSwitch: 4 })], [60]);
  const lines = [
    ...podLines(30, 1, 'any'),
    ...podLines(20, 2, 'any'),
    ...podLines(20, 3, 'any'),
    ...podLines(30, 4, 'numa'),
  ];
  const rejected = (name: string, retries: number): number => {
    const made = run(
      runInput(hosts, lines, 0.95, retries),
      policies.find((each) => each.name === name)!,
    );
    return [...made.decisions()].filter(({ pod, node }) => pod.startsWith('numa-4') && node === undefined).length;
  };

  it.each(['dotprod', 'gpupacking', 'bestfit', 'fgd', 'random'])('%s has them rejected while GPUs are free', (name) => {
    expect(rejected(name, 0)).toBeGreaterThan(0);
  });

  it.each(['numa', 'switches'])('%s places all of them', (name) => {
    expect(rejected(name, 0)).toBe(0);
  });
});

it('devices on one switch: ours place more pods than the six, which may try all hosts', () => {
  const hosts = hostsOf([gpuShape('switched', 16, { perGroup: 2, numaNodes: 2, perSwitch: 4 })], [40]);
  const lines = [
    ...podLines(40, 1, 'any'),
    ...podLines(12, 2, 'switch'),
    ...podLines(12, 4, 'switch'),
    ...podLines(6, 8, 'numa'),
  ];
  const found = tallies(runInput(hosts, lines, 1.3, 1000));
  const best = Math.max(...THEIRS.map((name) => found.get(name)!.gpuAllocation));
  for (const name of OURS) expect(found.get(name)!.gpuAllocation).toBeGreaterThan(best);
});

describe('guests that come and go for a day, on hosts with groups of 1 and 2 and two NUMA nodes', () => {
  const hosts = hostsOf(
    [1, 2].map((perGroup) => gpuShape(`g${perGroup}`, 8, { perGroup, numaNodes: 2, perSwitch: 4 })),
    [10, 10],
  );
  const random = new Random(3);
  const pods = Array.from({ length: 1000 }, (_, i) => {
    const gpus = [1, 1, 1, 2, 4][random.below(5)]!;
    const from = random.below(30_000);
    const near = gpus === 4 ? 'numa' : 'any';
    return `vm${i},4000,4096,${gpus},1000,1,${near},0,,0,0,${from},${from + 60 + random.below(3600)}`;
  });
  const found = policies.map((policy) => {
    const input = runInput(hosts, pods, undefined, 100, `${COLUMNS},creation_time,deletion_time`);
    const timeline = { ...input, events: [], costs: hostCosts('intel'), migratable: new Set<number>() };
    return { name: policy.name, ...new Timeline(timeline, policy).run().tally() };
  });
  const of = (names: readonly string[]) => found.filter(({ name }) => names.includes(name));

  it('are refused again and again where devices are only counted, and never by ours', () => {
    for (const { refusals, started } of of(THEIRS)) {
      expect(started).toBe(1000);
      expect(refusals).toBeGreaterThan(50);
    }
    for (const { refusals, started } of of(OURS)) expect([refusals, started]).toEqual([0, 1000]);
  });

  it('wait no longer with ours than with the best of the six, and less than with FGD', () => {
    const best = Math.min(...of(THEIRS).map(({ wait }) => wait.mean));
    const fgd = of(['fgd'])[0]!.wait.mean;
    for (const { wait } of of(OURS)) {
      expect(wait.mean).toBeLessThanOrEqual(best);
      expect(wait.mean).toBeLessThan(fgd);
    }
  });
});
