import { ScenarioError } from './errors.js';
import { readLab, readLabFile } from './lab-file.js';

const MACHINE = 'machine: lambda-vector-wrx80-a';
const lab = (rest: string): string => `vfiolab: lab/1\nname: bench\n${rest}`;
const read = (rest: string) => readLab(lab(rest), '/labs/bench.yaml');
const problem = (rest: string): string => {
  try {
    read(rest);
  } catch (e) {
    if (e instanceof ScenarioError) return e.message;
    throw e;
  }
  return '';
};

test('what is not said is as usual', () => {
  const { instances, hosts, tenant, nats, data, durability } = read(`hosts: { h1: { host: { ${MACHINE} } } }`);
  expect({ instances, tenant, nats, data, durability }).toEqual({
    instances: [{ name: 'main', hosts: 64 }],
    tenant: 'default',
    nats: 'auto',
    data: '/labs/.vfiolab/bench',
    durability: 'process',
  });
  expect(hosts).toMatchObject([
    { name: 'h1', instance: undefined, spec: { memory: 32 * 2 ** 30, profile: '6.12', iommu: 'amd-vi' } },
  ]);
});

test('hosts and instances are what the file says', () => {
  const { instances, hosts, data } = read(
    `data: ../d\ninstances: { a: { hosts: 2 }, b: {} }\nhosts: { h1: { instance: b, host: { ${MACHINE}, memory: 8GiB } } }`,
  );
  expect([instances, data]).toEqual([
    [
      { name: 'a', hosts: 2 },
      { name: 'b', hosts: 64 },
    ],
    '/d',
  ]);
  expect(hosts).toMatchObject([{ instance: 'b', spec: { memory: 8 * 2 ** 30 } }]);
});

test.each([
  [
    'a machine that nobody knows',
    'hosts: { h1: { host: { machine: lamda } } }',
    /3:.* hosts\.h1\.host\.machine: there is no machine "lamda"/,
  ],
  [
    'memory that is none',
    `hosts: { h1: { host: { ${MACHINE}, memory: 5 } } }`,
    /hosts\.h1\.host\.memory: 5 is no amount/,
  ],
  ['an unknown key of the host', `hosts: { h1: { host: { ${MACHINE}, memmory: 5 } } }`, /unknown key "memmory"/],
  ['a name that is no token', `hosts: { H.1: { host: { ${MACHINE} } } }`, /the name "H\.1" cannot be used/],
  ['a server that is none', 'nats: http://x\nhosts: {}', /nats: "http:\/\/x" cannot stand here/],
  [
    'an instance that nobody starts',
    `instances: { aa: {} }\nhosts: { h1: { instance: ab, host: { ${MACHINE} } } }`,
    /there is no instance ab\. Did you mean "?aa"?/,
  ],
  ['a host with the name of an instance', `hosts: { main: { host: { ${MACHINE} } } }`, /an instance has this name/],
  [
    'more hosts than room',
    `instances: { a: { hosts: 1 } }\nhosts: { h1: { host: { ${MACHINE} } }, h2: { host: { ${MACHINE} } } }`,
    /2 hosts, but room for 1/,
  ],
  [
    'more hosts than room where they are to run',
    `instances: { a: { hosts: 1 }, b: {} }\nhosts: { h1: { instance: a, host: { ${MACHINE} } }, h2: { instance: a, host: { ${MACHINE} } } }`,
    /instances\.a: 2 hosts are to run here, but at most 1 may/,
  ],
  [
    'a client with the name of operators',
    'clients: [operator-x]\nhosts: {}',
    /clients\[0\]: "operator-x" cannot stand here/,
  ],
  ['no hosts', '', /hosts is missing/],
])('%s is a problem with its place', (_name, rest, message) => expect(problem(rest)).toMatch(message));

test('a file that is not there is a problem too', () => {
  expect(() => readLabFile('/nowhere/lab.yaml')).toThrow(/\/nowhere\/lab\.yaml:1:1: the file cannot be read/);
});

test('the example that the commands name is a lab', () => {
  const { name, hosts } = readLabFile('libs/cli/labs/two-hosts.yaml');
  expect([name, hosts.map(({ name: host }) => host)]).toEqual(['two-hosts', ['gpu-1', 'gpu-2']]);
});
