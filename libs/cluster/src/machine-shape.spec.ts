import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { importTopology } from '@vfiolab/pci';
import { importNodes } from './import-nodes.js';
import { machineShape } from './machine-shape.js';
import { type Names, newKinds } from './shape.js';

const shapeOf = (name: string, kinds: Names) => {
  const file = fileURLToPath(new URL(`../../../test/machines/${name}`, import.meta.url));
  return machineShape(name, importTopology(readFileSync(file, 'utf8')), kinds);
};

describe('the shape of a real machine', () => {
  it('has the groups of its kernel: 8 GPUs behind switches without ACS are in two', () => {
    const kinds = newKinds();
    const { slots } = shapeOf('sm-4029gp-trt2.json', kinds);
    const gpus = slots.filter(({ kind }) => kinds.names[kind] === 'gpu');
    expect(gpus.map(({ name }) => name)).toEqual(
      ['1a', '1c', '1d', '1e', '3d', '3f', '40', '41'].map((bus) => `0000:${bus}:00.0`),
    );
    const groups = [...new Set(gpus.map(({ group }) => group))];
    expect(groups.map((id) => gpus.filter(({ group }) => group === id).length)).toEqual([4, 4]);
  });

  it('has NUMA nodes, and not the console for a device', () => {
    const kinds = newKinds();
    const { slots, memory } = shapeOf('sm-as4125gs-8gpu.json', kinds);
    const gpus = slots.filter(({ kind }) => kinds.names[kind] === 'gpu');
    expect(gpus.map(({ name, numa }) => [name, numa])).toEqual([
      ['0000:c1:00.0', 1],
      ['0000:e1:00.0', 1],
    ]);
    expect(memory).toHaveLength(2);
    expect(new Set(gpus.map(({ group }) => group)).size).toBe(2);
  });

  it('gives what a node list says of memory to its NUMA nodes', () => {
    const text = 'sn,cpu_milli,memory_mib,gpu,model,machine,hugepages_mib,memlock_mib\na,1,1001,2,RTX,m,100,7\n';
    const machines = (_name: string, kinds: Names) => shapeOf('sm-as4125gs-8gpu.json', kinds);
    const [shape] = importNodes(text, 'nodes.csv', newKinds(), machines).shapes;
    expect(shape).toMatchObject({ model: 'RTX', memory: [451, 450], hugepages: [50, 50], memlock: 7 });
  });

  it('must have as many GPUs as the node list says', () => {
    const text = 'sn,cpu_milli,memory_mib,gpu,model,machine\na,1,1,3,RTX,m\n';
    const machines = (_name: string, kinds: Names) => shapeOf('sm-as4125gs-8gpu.json', kinds);
    expect(() => importNodes(text, 'n.csv', newKinds(), machines)).toThrow('n.csv:2: gpu: 3, but machine "m" has 2');
    expect(() => importNodes(text, 'n.csv', newKinds())).toThrow('n.csv:2: machine: machines are not known here');
  });
});
