import { importNodes } from './import-nodes.js';
import { importOrder, importRank } from './import-order.js';
import { importPods } from './import-pods.js';
import { newKinds } from './shape.js';

const NODES = 'sn,cpu_milli,memory_mib,gpu,model\n';
const PODS =
  'name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,creation_time,deletion_time,devices,near,pinned_mib\n';
const nodes = (lines: string) => importNodes(NODES + lines, 'nodes.csv', newKinds());
const pods = (lines: string) => importPods(PODS + lines, 'pods.csv', newKinds());

describe('a node list', () => {
  it('gives hosts their shapes', () => {
    const { names, shapes, shapeOf } = nodes(
      'a,64000,262144,2,P100\nb,32000,1000,0,\n# note\n\nc,64000,262144,2,P100\r\n',
    );
    expect(names).toEqual(['a', 'b', 'c']);
    expect([...shapeOf]).toEqual([0, 1, 0]);
    expect(shapes.map(({ name, slots }) => [name, slots.length])).toEqual([
      ['P100 x2 64 CPUs', 2],
      ['32 CPUs', 0],
    ]);
  });

  it('may say how devices share groups, NUMA nodes and switches', () => {
    const text =
      'sn,cpu_milli,memory_mib,gpu,model,devices,numa_nodes,per_group,per_switch,hugepages_mib\na,1,1001,4,T4,nic*2+vf*1:16,2,2,1,100\n';
    const kinds = newKinds();
    const [shape] = importNodes(text, 'n.csv', kinds).shapes;
    expect(shape).toMatchObject({ memory: [451, 450], hugepages: [50, 50] });
    expect(shape!.slots.map((slot) => [slot.name, slot.units, slot.group, slot.numa, slot.switch])).toEqual([
      ['gpu0', 1000, 0, 0, 0],
      ['gpu1', 1000, 0, 0, 1],
      ['gpu2', 1000, 1, 1, 2],
      ['gpu3', 1000, 1, 1, 3],
      ['nic0', 1000, 2, 0, 0],
      ['nic1', 1000, 3, 1, 2],
      ['vf0', 16, 4, 0, 0],
    ]);
  });

  it('may be that of the spot trace, which tells no memory', () => {
    const list = importNodes('gpu_model,gpu_capacity_num,cpu_num,node_name\nA10,1,128,2\n', 'n.csv', newKinds());
    expect(list.shapes[0]).toMatchObject({ model: 'A10', cpuMilli: 128_000, memory: [2 ** 30] });
  });

  it.each([
    ['a negative size', 'a,-1,1,0,', 'nodes.csv:2: cpu_milli: -1 is too small: at least 0'],
    ['words for numbers', 'a,1,x,0,', 'nodes.csv:2: memory_mib: "x" is no whole number'],
    ['too many GPUs', 'a,1,1,65,T4', 'nodes.csv:2: gpu: 65 is too large: at most 64'],
    ['GPUs of no model', 'a,1,1,1,', 'nodes.csv:2: model: has GPUs but no model'],
    ['no name', ',1,1,0,', 'nodes.csv:2: sn: is empty'],
    ['a name twice', 'a,1,1,0,\na,1,1,0,', 'nodes.csv:3: sn: "a" is already the host of line 2'],
    ['a line that is too short', 'a,1,1', 'nodes.csv:2: has 3 fields where the header has 5'],
    ['an open quote', 'a,1,1,0,"T4', 'nodes.csv:2: the quotes do not match'],
    ['no host', '', 'nodes.csv: has no host'],
  ])('refuses %s', (_what, lines, message) => {
    expect(() => nodes(lines)).toThrow(message);
  });

  it('refuses a header without a column, and with one twice', () => {
    const read = (text: string) => () => importNodes(text, 'n.csv', newKinds());
    expect(read('sn,cpu_milli,gpu,model\n')).toThrow('n.csv:1: memory_mib: the header has no such column');
    expect(read('sn,sn\n')).toThrow('n.csv:1: sn: the header has this column twice');
    expect(read('')).toThrow('n.csv: is empty');
  });
});

describe('a pod list', () => {
  it('has a class for all pods that ask for the same', () => {
    const { names, classOf, requests, created } = pods(
      'a,1000,10,1,1000,T4|P4,5,9,,,\nb,1000,10,1,1000,T4|P4,,,,,\nc,1,1,0,0,,,,,,\n',
    );
    expect(names).toEqual(['a', 'b', 'c']);
    expect([...classOf]).toEqual([0, 0, 1]);
    expect(requests.classes[0]).toMatchObject({ gpus: 1, gpuMilli: 1000, models: ['T4', 'P4'] });
    expect([...created]).toEqual([5, Number.NaN, Number.NaN]);
  });

  it('asks for further devices close to one another', () => {
    const { requests } = pods('a,1,100,2,1000,,,,nic*1:250+vf*2,numa,64\n');
    expect(requests.classes[0]).toMatchObject({ memory: 36, pinned: 64 });
    expect(requests.asks[0]).toMatchObject({
      near: 'numa',
      items: [
        { kind: 0, count: 2, units: 0 },
        { kind: 1, count: 1, units: 250 },
        { kind: 2, count: 2, units: 0 },
      ],
    });
  });

  it('may be the DLRM trace, whose pods have a share of a NIC', () => {
    const text = 'instance_sn,cpu_request,gpu_request,rdma_request,memory_request\ni,12,1,25,0.5\n';
    const { requests } = importPods(text, 'p.csv', newKinds());
    expect(requests.classes[0]).toMatchObject({ cpuMilli: 12_000, memory: 512, gpus: 1 });
    expect(requests.asks[0]!.items[1]).toEqual({ kind: 1, count: 1, units: 250 });
  });

  it.each([
    ['a negative size', 'a,1,-5,0,0,,,,,,', 'pods.csv:2: memory_mib: -5 is too small'],
    ['a share of no GPU', 'a,1,1,0,5,,,,,,', 'pods.csv:2: gpu_milli: 5 of no GPU; num_gpu is 0'],
    ['nothing of a GPU', 'a,1,1,1,0,,,,,,', 'pods.csv:2: gpu_milli: 0 of 1 GPUs'],
    [
      'shares of several GPUs',
      'a,1,1,2,500,,,,,,',
      'pods.csv:2: gpu_milli: 500: only one GPU can be shared, and num_gpu is 2',
    ],
    ['more than a GPU', 'a,1,1,1,1001,,,,,,', 'pods.csv:2: gpu_milli: 1001 is too large: at most 1000'],
    ['an end before the beginning', 'a,1,1,0,0,,7,6,,,', 'pods.csv:2: deletion_time: 6 is before creation_time 7'],
    ['a name twice', 'a,1,1,0,0,,,,,,\na,1,1,0,0,,,,,,', 'pods.csv:3: name: "a" is already the pod of line 2'],
    [
      'devices in other words',
      'a,1,1,0,0,,,,two nics,,',
      'pods.csv:2: devices: "two nics" is not KIND*COUNT or KIND*COUNT:UNITS',
    ],
    ['no device', 'a,1,1,0,0,,,,nic*0,,', 'pods.csv:2: devices: "nic*0": from 1 to 64 devices'],
    ['a kind twice', 'a,1,1,0,0,,,,nic*1+nic*1,,', 'pods.csv:2: devices: "nic" is there twice'],
    ['GPUs in the wrong column', 'a,1,1,0,0,,,,gpu*1,,', 'pods.csv:2: devices: GPUs have columns of their own'],
    ['another distance', 'a,1,1,0,0,,,,,far,', 'pods.csv:2: near: "far" is none of any, numa, switch, link'],
    ['no pod', '', 'pods.csv: has no pod'],
  ])('refuses %s', (_what, lines, message) => {
    expect(() => pods(lines)).toThrow(message);
  });
});

describe('an order', () => {
  const list = pods('a,1,1,0,0,,,,,,\nb,1,1,0,0,,,,,,\n');
  const order = (lines: string) => importOrder(`step,pod\n${lines}`, 'order.csv', list);

  it('may name copies', () => {
    const { pods: order1, nameOf } = order('0,b\n1,a-tuned-0\n');
    expect([...order1]).toEqual([1, 0]);
    expect(nameOf(1)).toBe('a-tuned-0');
  });

  it.each([
    ['an unknown pod', '0,c\n', 'order.csv:2: pod: there is no pod "c"'],
    ['a pod twice', '0,a\n1,a\n', 'order.csv:3: pod: "a" comes twice'],
  ])('refuses %s', (_what, lines, message) => {
    expect(() => order(lines)).toThrow(message);
  });
});

describe('a rank', () => {
  const { names } = nodes('a,1,1,0,\nb,1,1,0,\n');
  const rank = (lines: string) => importRank(`rank,node\n${lines}`, 'rank.csv', { names });

  it('orders all hosts', () => {
    expect([...rank('5,a\n2,b\n')]).toEqual([1, 0]);
  });

  it.each([
    ['an unknown host', '0,c\n', 'rank.csv:2: node: there is no host "c"'],
    ['a host twice', '0,a\n1,a\n', 'rank.csv:3: node: "a" comes twice'],
    ['a rank twice', '0,a\n0,b\n', 'rank.csv:3: rank: 0 comes twice'],
    ['a host without', '0,a\n', 'rank.csv: host "b" has no rank'],
  ])('refuses %s', (_what, lines, message) => {
    expect(() => rank(lines)).toThrow(message);
  });
});
