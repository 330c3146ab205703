import {
  importNodes,
  importPods,
  newKinds,
  policies,
  run,
  type RunInput,
  type SampledHost,
  samplePlacements,
  type Shape,
  shapeMachine,
} from '@vfiolab/cluster';
import { Carrier } from './carry.js';

const NODES = 'sn,cpu_milli,memory_mib,gpu,model,devices,numa_nodes,per_group,per_switch,hugepages_mib,memlock_mib\n';
const PODS = 'name,cpu_milli,memory_mib,num_gpu,gpu_milli,passthrough,near,pinned_mib,devices,huge,whole_group\n';

function cluster(nodes: string, pods: string): RunInput {
  const kinds = newKinds();
  const hosts = importNodes(NODES + nodes, 'nodes.csv', kinds);
  const list = importPods(PODS + pods, 'pods.csv', kinds);
  const arrivals = { pods: Int32Array.from(list.names.keys()), nameOf: (i: number) => list.names[i]! };
  return { hosts, kinds, pods: list, arrivals, rank: Int32Array.from(hosts.names.keys()), seed: 3, retries: 10 };
}

function sample(input: RunInput, name: string, count = 1000): readonly SampledHost[] {
  const policy = policies.find((each) => each.name === name)!;
  return samplePlacements(input, policy, run(input, policy).hosts, count);
}

async function carry(
  input: RunInput,
  hosts: readonly SampledHost[],
  change: (shape: Shape) => Shape = (shape) => shape,
) {
  const carrier = new Carrier(input.kinds, (shape) => ({
    ...shapeMachine(change(shape), input.kinds),
    iommu: 'intel-vtd',
  }));
  for (const host of hosts) await carrier.carry(host);
  return carrier.result;
}

const MIXED = cluster(
  'a,128000,1048576,8,H100,nic*4+vf*4:16,2,2,4,262144,200000\nb,128000,1048576,8,H100,nic*4+vf*4:16,2,1,4,262144,200000\n',
  [
    'near,4000,70000,1,1000,1,numa,65536,,1,0',
    'odd,4000,40000,2,1000,1,switch,33333,nic*1,0,0',
    'vfs,1000,3000,0,0,1,any,2047,vf*1:2,0,0',
    'sets,1000,3000,0,0,1,numa,1023,vf*2:1,0,0',
    'netdev,1000,3000,0,0,0,any,0,vf*1:1,0,0',
    'shared,1000,3000,1,250,0,any,0,nic*1:250,0,0',
    'whole,1000,3000,1,1000,1,any,2048,,0,1',
    'plain,1000,3000,0,0,0,any,0,,0,0',
    'other,1000,3000,1,1000,0,any,0,,0,0',
    'again,1000,3000,1,250,0,any,0,nic*1:250,0,0',
  ].join('\n'),
);

describe('placements carried out', () => {
  it.each(policies.map(({ name }) => [name]))('%s: the kernel refuses none', async (name) => {
    const result = await carry(MIXED, sample(MIXED, name));
    expect(result).toMatchObject({ sampled: 9, refused: 0, refusals: [], problems: [] });
    expect(result.devices).toBeGreaterThan(6);
    expect(result.mappedMib).toBe(65536 + 33333 + 2047 + 1023 + 2048);
  });

  it('have what was on their hosts before, and nothing that came later', () => {
    const all = sample(MIXED, 'groups');
    const one = sample(MIXED, 'groups', 1);
    expect(all.flatMap(({ pods }) => pods).filter(({ drawn }) => drawn)).toHaveLength(9);
    expect(one).toHaveLength(1);
    expect(one[0]!.pods.map(({ drawn }) => drawn)).toEqual([...one[0]!.pods.slice(1).map(() => false), true]);
    const whole = all.find(({ host }) => host === one[0]!.host)!;
    expect(whole.pods.slice(0, one[0]!.pods.length).map(({ pod }) => pod)).toEqual(one[0]!.pods.map(({ pod }) => pod));
  });
});

describe('a model that is wrong', () => {
  const two = cluster(
    'a,64000,65536,2,H100,,1,1,,0,4096\n',
    'one,1,1,1,1000,1,any,16,,0,0\ntwo,1,1,1,1000,1,any,16,,0,0\n',
  );

  it('gives two pods devices of one group: the second is refused', async () => {
    const together = (shape: Shape): Shape => ({ ...shape, slots: shape.slots.map((slot) => ({ ...slot, group: 0 })) });
    const result = await carry(two, sample(two, 'groups'), together);
    expect(result).toMatchObject({ sampled: 2, refused: 1, devices: 1 });
    expect(result.refusals).toEqual([
      { host: 'a', pod: 'two', call: expect.stringMatching(/^VFIO_DEVICE_BIND_IOMMUFD of /), errno: 'EPERM' },
    ]);
    expect(result.problems).toEqual(['H100 x2 64 CPUs: its machine has other IOMMU groups']);
  });

  it('gives a pod a device of a group that another one passes through: its own driver cannot have it', async () => {
    const mixed = cluster(
      'a,64000,65536,2,H100,,1,1,,0,\n',
      'one,1,1,1,1000,1,any,0,,0,0\ntwo,1,1,1,1000,0,any,0,,0,0\n',
    );
    const together = (shape: Shape): Shape => ({ ...shape, slots: shape.slots.map((slot) => ({ ...slot, group: 0 })) });
    const { refusals } = await carry(mixed, sample(mixed, 'groups'), together);
    expect(refusals).toEqual([{ host: 'a', pod: 'two', call: 'bind 0000:05:00.0 to nvidia', errno: 'EBUSY' }]);
  });

  it('lets a pod pin more than it may lock: the map is refused', async () => {
    const hosts = sample(two, 'groups').map((host) => ({ ...host, shape: { ...host.shape, memlock: 15 } }));
    const { refusals } = await carry(two, hosts);
    expect(refusals.map(({ call, errno }) => [call, errno])).toEqual(
      Array(2).fill(['IOMMU_IOAS_MAP of 16 MiB', 'ENOMEM']),
    );
  });

  it('counts VFs that are not there', async () => {
    const vfs = cluster('a,64000,65536,0,,vf*1:4,1,1,,0,\n', 'one,1,1,0,0,1,any,0,vf*1:4,0,0\n');
    const fewer = (shape: Shape): Shape => ({ ...shape, slots: shape.slots.map((slot) => ({ ...slot, units: 2 })) });
    const { refusals } = await carry(vfs, sample(vfs, 'groups'), fewer);
    expect(refusals).toHaveLength(1);
    expect(refusals[0]!.errno).toBe('ERANGE');
  });
});

it('a share of a device cannot be passed through, so nobody can ask for it', () => {
  expect(() => cluster('a,1,1,1,T4,,,,,,\n', 'p,1,1,1,500,1,any,0,,0,0\n')).toThrow(
    'pods.csv:2: passthrough: a share of a gpu cannot be passed through: only whole devices and VFs',
  );
});

it('draws the same placements for the same seed', () => {
  const drawn = (input: RunInput) =>
    sample(input, 'groups', 3).flatMap(({ pods }) => pods.filter((each) => each.drawn).map(({ pod }) => pod));
  expect(drawn(MIXED)).toEqual(drawn(MIXED));
  expect(drawn({ ...MIXED, seed: 4 })).not.toEqual(drawn(MIXED));
});
