import { importEvents } from './import-events.js';
import { importNodes } from './import-nodes.js';
import { importOrder, importRank } from './import-order.js';
import { importPods } from './import-pods.js';
import { InputError } from './input-error.js';
import { importNvmlProfile } from './nvml-profile.js';
import { Random } from './random.js';
import { importSlices } from './resource-slices.js';
import { newKinds } from './shape.js';

const NODES =
  'sn,cpu_milli,memory_mib,gpu,model,devices,numa_nodes,per_group\na,8000,100,2,T4,nic*2:5,2,1\nb,1,1,0,,,,\n';
const PODS =
  'name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,near,devices\np,1,1,1,500,T4|P4,numa,nic*1\n"q,r",2,2,0,0,,,vf*1:2\n';
const SLICES =
  'apiVersion: resource.k8s.io/v1\nkind: ResourceSlice\nspec:\n  nodeName: n\n  driver: d\n  devices:\n  - name: gpu-0\n    attributes:\n      numaNode: {int: 1}\n      kind: {string: gpu}\n';
const PROFILE =
  'device_defaults: {}\ndevices:\n- pci: {bus_id: "0:1"}\nnvlink: {switches: [1]}\npcie_topology:\n  root_complexes:\n  - {id: a, numa_node: 1, devices: ["0:1"]}\n';
const hosts = importNodes(NODES, 'n', newKinds());
const pods = importPods(PODS, 'p', newKinds());

const readers: Readonly<Record<string, readonly [string, (text: string) => unknown]>> = {
  nodes: [NODES, (text) => importNodes(text, 'n', newKinds())],
  pods: [PODS, (text) => importPods(text, 'p', newKinds())],
  order: ['pod\np\np-tuned-0\n', (text) => importOrder(text, 'o', pods)],
  rank: ['rank,node\n0,b\n1,a\n', (text) => importRank(text, 'r', hosts)],
  events: [
    'time,event,node,device,seconds,share\n1,fail,a,,5,\n2,stuck,a,gpu1,,\n3,reset-failures,,,,0.5\n',
    (text) => importEvents(text, 'e', hosts),
  ],
  slices: [SLICES, (text) => importSlices(text, 's', newKinds())],
  profile: [PROFILE, (text) => importNvmlProfile(text, 'm', newKinds())],
};

/** Characters that mean something to one of the readers. */
const ALPHABET = '0123456789-+.,;:|*"\'\n\r \t#[]{}&!abNaneE\u0000\ufeff\u00e9';

function mutated(text: string, random: Random): string {
  let made = text;
  for (let times = 1 + random.below(4); times > 0; times--) {
    const at = random.below(made.length + 1);
    const char = ALPHABET[random.below(ALPHABET.length)]!;
    const cut = random.below(3);
    made = made.slice(0, at) + (random.below(4) === 0 ? char.repeat(20) : char) + made.slice(at + cut);
  }
  return made;
}

it.each(Object.keys(readers))('%s: whatever is changed, it is read or refused with its file', (name) => {
  const [text, read] = readers[name]!;
  expect(read(text)).toBeDefined();
  const random = new Random(11);
  let refused = 0;
  for (let i = 0; i < 1500; i++) {
    const changed = mutated(text, random);
    try {
      read(changed);
    } catch (error) {
      if (!(error instanceof InputError)) throw new Error(`${JSON.stringify(changed)}: ${String(error)}`);
      expect(error.place.file).toHaveLength(1);
      refused++;
    }
  }
  expect(refused).toBeGreaterThan(100);
});
