import { importFixture, LIMITS, Topology, TopologyError, virtualFunctions, wiringOf } from './index.js';

const bdf = (dev: number): string => `0000:00:${dev.toString(16).padStart(2, '0')}.0`;
const card = (dev: number, network: string | null, more = {}) => ({ bdf: bdf(dev), network, ...more });
const machine = (functions: readonly { readonly bdf: string }[]): string =>
  JSON.stringify({ format: 'pci-topology-fixture/1', functions });

it('joins the ports that name the same network', () => {
  const topology = new Topology({ functions: [card(3, 'b'), card(2, 'a'), card(1, 'b'), card(4, null)] });
  const wiring = [1, 2, 3, 4].map((dev) => wiringOf(topology, topology.get(bdf(dev))!));
  expect(wiring).toEqual([
    { connected: true, ports: [[bdf(3)]], vf: undefined },
    { connected: true, ports: [[]], vf: undefined },
    { connected: true, ports: [[bdf(1)]], vf: undefined },
    undefined,
  ]);
});

it('a PF has a way to each VF that it can have, on a network or not, and a VF only to its PF', () => {
  const sriov = { initialVfs: 3, totalVfs: 3, numVfs: 0, offset: 8, stride: 2, vfDevice: 0x10ca };
  const bare = new Topology({ functions: [card(1, 'a', { sriov }), card(20, 'a'), card(21, null, { sriov })] });
  const vfs = virtualFunctions(bare, bare.get(bdf(1))!, 3)!;
  const others = virtualFunctions(bare, bare.get(bdf(21))!, 3)!;
  const topology = new Topology({ functions: [...bare.functions, ...vfs, ...others] });
  const addresses = vfs.map((vf) => vf.bdf);
  expect(wiringOf(topology, topology.get(bdf(1))!)).toEqual({
    connected: true,
    ports: [[bdf(20)], ...addresses.map((vf) => [vf])],
    vf: undefined,
  });
  expect(wiringOf(topology, topology.get(addresses[2]!)!)).toEqual({ connected: true, ports: [[bdf(1)]], vf: 2 });
  expect(wiringOf(topology, topology.get(bdf(20))!)!.ports).toEqual([[bdf(1)]]);
  expect(wiringOf(topology, topology.get(bdf(21))!)).toEqual({
    connected: false,
    ports: [[], ...others.map((vf) => [vf.bdf])],
    vf: undefined,
  });
  expect(wiringOf(topology, topology.get(others[2]!.bdf)!)).toEqual({ connected: false, ports: [[bdf(21)]], vf: 2 });
});

it('a PF’s port has room for so many VFs, and the others have no port', () => {
  const sriov = { initialVfs: 300, totalVfs: 300, numVfs: 0, offset: 1, stride: 1, vfDevice: 0x10ca };
  const bare = new Topology({ functions: [{ bdf: '0000:01:00.0', network: 'a', sriov }] });
  const pf = bare.get('0000:01:00.0')!;
  const vfs = virtualFunctions(bare, pf, 300)!;
  const topology = new Topology({ functions: [...bare.functions, ...vfs] });
  expect(wiringOf(topology, pf)!.ports.length).toBe(1 + LIMITS.vfPorts);
  const last = [LIMITS.vfPorts - 1, LIMITS.vfPorts].map((n) => wiringOf(topology, topology.get(vfs[n]!.bdf)!)?.vf);
  expect(last).toEqual([LIMITS.vfPorts - 1, undefined]);
});

it('so many functions are on a network, and no more', () => {
  const functions = (count: number) =>
    Array.from({ length: count }, (_, n) => ({ bdf: `0000:0${n >> 3}:0${n & 7}.0`, network: 'lan0' }));
  expect(importFixture(machine(functions(LIMITS.ports))).functions.length).toBe(LIMITS.ports);
  const tooMany = machine(functions(LIMITS.ports + 1));
  expect(() => importFixture(tooMany)).toThrow(/"lan0" has 33 functions; at most 32 are joined/);
  expect(() => importFixture(tooMany)).toThrow(TopologyError);
});
