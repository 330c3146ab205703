import { exportSlices, importSlices, isYaml } from './resource-slices.js';
import { GPU, newKinds } from './shape.js';
import { gpuShape, hostsOf } from './testing/clusters.js';

const DRAFT = `apiVersion: resource.k8s.io/v1alpha2
kind: ResourcePool
metadata:
  name: node-00-nic0
spec:
  driverName: sriov.example.com
  nodeName: node-00
  devices:
  - name: pf-0
    attributes:
    - {name: sriovType, string: pf}
  - name: pf-0-vf-0
    attributes:
    - {name: sriovType, string: vf}
    - {name: pf, string: "0"}
  - name: pf-0-vf-1
    attributes:
    - {name: sriovType, string: vf}
    - {name: pf, string: "0"}
`;
const slice = (devices: string, node = 'nodeName: n'): string =>
  `# a cluster\napiVersion: resource.k8s.io/v1\nkind: ResourceSlice\nmetadata: {name: s}\nspec:\n  driver: gpu.nvidia.com\n  ${node}\n  pool: {name: n}\n  devices:\n${devices}`;

describe('ResourceSlices', () => {
  it('that were written are read as the same hosts', () => {
    const kinds = newKinds();
    const vf = { name: '0000:41:00.0', kind: kinds.id('vf'), units: 16, group: 9, numa: 1, switch: 2, link: -1 };
    const wide = gpuShape('wide', 4, { perGroup: 2, numaNodes: 2, perSwitch: 2 });
    const hosts = hostsOf([{ ...wide, slots: [...wide.slots, { ...vf, group: 2 }] }, gpuShape('flat', 2)], [2, 1]);
    const text = [...exportSlices(hosts, kinds)].join('');
    expect(isYaml(text)).toBe(true);
    const read = importSlices(text, 'slices.yaml', newKinds());
    expect(read.names).toEqual(hosts.names);
    expect([...read.shapeOf]).toEqual([...hosts.shapeOf]);
    for (const [i, { slots, model }] of read.shapes.entries()) {
      expect(model).toBe('H100');
      const plain = ({ name: _, ...rest }: (typeof slots)[number]) => rest;
      expect(slots.map(plain)).toEqual(hosts.shapes[i]!.slots.map(plain));
    }
  });

  it('of the first drafts are read too; VFs of one PF are one slot', () => {
    const kinds = newKinds();
    const { names, shapes } = importSlices(DRAFT, 'draft.yaml', kinds);
    expect(names).toEqual(['node-00']);
    expect(shapes[0]!.slots.map(({ kind, units }) => [kinds.names[kind], units])).toEqual([
      ['nic', 1000],
      ['vf', 2],
    ]);
  });

  it('take NUMA node and PCIe root from attributes of any domain, and leave out partitions of GPUs', () => {
    const gpu = (name: string, numa: number, more = '') =>
      `  - name: ${name}\n    attributes:\n      dra.net/numaNode: {int: ${numa}}\n      resource.kubernetes.io/pcieRoot: {string: "pci0000:${numa}0"}\n${more}`;
    const { shapes } = importSlices(
      slice(gpu('gpu-0', 0) + gpu('gpu-1', 1) + gpu('gpu-1-mig', 1, '      gpu.nvidia.com/type: {string: mig}\n')),
      's.yaml',
      newKinds(),
    );
    expect(shapes[0]!.slots).toMatchObject([
      { kind: GPU, numa: 0, switch: 0, group: 0 },
      { kind: GPU, numa: 1, switch: 1, group: 1 },
    ]);
    expect(shapes[0]!.memory).toHaveLength(2);
  });

  it.each([
    ['a broken line', 'apiVersion: v1\n  kind: [', 's.yaml:1: Nested mappings'],
    [
      'aliases without end',
      `apiVersion: v1\na: &a [1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c]\n`,
      's.yaml:1: Excessive alias count',
    ],
    ['nothing of the kind', 'apiVersion: v1\nkind: Pod\n', 's.yaml: has no ResourceSlice'],
    ['no node', slice('  - name: a\n', 'x: 1'), 's.yaml:2: spec.nodeName: is missing'],
    ['a device twice', slice('  - name: a\n  - name: a\n'), 's.yaml:2: spec.devices[1]: "a" is there twice'],
    ['a device without name', slice('  - x: a\n'), 's.yaml:2: spec.devices[0]: has no name'],
    [
      'a negative NUMA node',
      slice('  - name: a\n    attributes: {numaNode: {int: -1}}\n'),
      's.yaml: n/a: NUMA node "-1"',
    ],
  ])('refuse %s', (_what, text, message) => {
    expect(() => importSlices(text, 's.yaml', newKinds())).toThrow(message);
  });
});
