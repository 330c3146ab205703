import { policies } from './policies/index.js';
import { run } from './run.js';
import { gpuShape, hostsOf, podLines, runInput } from './testing/clusters.js';

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
