import { importNodes } from './import-nodes.js';
import { importNvmlProfile, isNvmlProfile } from './nvml-profile.js';
import { policies } from './policies/index.js';
import { run } from './run.js';
import { type Names, newKinds } from './shape.js';
import { runInput } from './testing/clusters.js';

/** As of an HGX board, with 4 GPUs of its 8. */
const PROFILE = `version: "1.0"
device_defaults: {name: "NVIDIA H100 80GB HBM3"}
devices:
  - {index: 0, pci: {bus_id: "0000:1A:00.0"}}
  - {index: 1, pci: {bus_id: "0000:1B:00.0"}}
  - {index: 2, pci: {bus_id: "0000:8A:00.0"}}
  - {index: 3, pci: {bus_id: "0000:8B:00.0"}}
nvlink: {switches: [{bdf: "0000:05:00.0"}]}
infiniband: {hcas_per_gpu: 1}
pcie_topology:
  root_complexes:
    - {id: "pci0000:00", numa_node: 0, devices: ["0000:1A:00.0", "0000:1B:00.0"]}
    - {id: "pci0000:80", numa_node: 1, devices: ["0000:8A:00.0", "0000:8B:00.0"]}
`;

describe('a profile of NVML', () => {
  it('gives GPUs and HCAs below their roots, and the partitions of the fabric', () => {
    const kinds = newKinds();
    expect(isNvmlProfile(PROFILE)).toBe(true);
    const { slots, memory, partitions } = importNvmlProfile(PROFILE, 'h100.yaml', kinds);
    expect(memory).toHaveLength(2);
    expect(slots.map(({ name, kind, numa, switch: above }) => [name, kinds.names[kind], numa, above])).toEqual([
      ['0000:1a:00.0', 'gpu', 0, 0],
      ['0000:1b:00.0', 'gpu', 0, 0],
      ['0000:8a:00.0', 'gpu', 1, 1],
      ['0000:8b:00.0', 'gpu', 1, 1],
      ['mlx5_0', 'nic', 0, 0],
      ['mlx5_1', 'nic', 0, 0],
      ['mlx5_2', 'nic', 1, 1],
      ['mlx5_3', 'nic', 1, 1],
    ]);
    expect(new Set(slots.map(({ group }) => group)).size).toBe(8);
    expect(partitions).toEqual([[0], [1], [2], [3], [0, 1], [2, 3], [0, 1, 2, 3]]);
  });

  it.each([
    ['a broken line', 'devices: [', 'p.yaml:1: '],
    ['no address', 'devices: [{index: 0}]', 'p.yaml: devices[0].pci.bus_id: is missing'],
    ['no GPU', 'devices: []', 'p.yaml: devices: has 0 devices'],
    [
      'a node that cannot be',
      'devices: []\npcie_topology: {root_complexes: [{numa_node: -1}]}',
      'p.yaml: pcie_topology.root_complexes[0].numa_node: "-1" is no NUMA node',
    ],
  ])('refuses %s', (_what, text, message) => {
    expect(() => importNvmlProfile(text, 'p.yaml', newKinds())).toThrow(message);
  });

  it('a guest whose GPUs reach each other has a partition of the fabric', () => {
    const machines = (_name: string, kinds: Names) => importNvmlProfile(PROFILE, 'h100.yaml', kinds);
    const hosts = importNodes(
      'sn,cpu_milli,memory_mib,gpu,model,machine\na,128000,1000000,4,H100,h100\n',
      'n.csv',
      newKinds(),
      machines,
    );
    const guests = (...gpus: number[]) => {
      const lines = gpus.map((count, i) => `g${i},1000,1000,${count},1000,1,link,0,,0,0`);
      const input = runInput(hosts, lines);
      const made = run(
        { ...input, arrivals: { pods: Int32Array.from(gpus.keys()), nameOf: String } },
        policies.at(-1)!,
      );
      return [...made.decisions()].map(({ devices, reason }) => devices.join(' ') || reason.replace(/^.*: /, ''));
    };
    expect(guests(3)).toEqual(['link 1']);
    expect(guests(1, 2)).toEqual(['0000:1a:00.0', '0000:8a:00.0 0000:8b:00.0']);
    expect(guests(2, 2, 1)).toEqual(['0000:1a:00.0 0000:1b:00.0', '0000:8a:00.0 0000:8b:00.0', 'devices 1']);
    expect(guests(1, 4)).toEqual(['0000:1a:00.0', 'devices 1']);
    expect(guests(4)).toEqual(['0000:1a:00.0 0000:1b:00.0 0000:8a:00.0 0000:8b:00.0']);
  });
});
