import { atomicOps } from './atomic-ops.js';
import { bridge, device } from './synthetic-machine.js';
import { Topology } from './topology.js';

const ALL = 0x380;

/** Config space with a PCI Express capability at 0x40. */
function config(capability2: number, control2 = 0): Uint8Array {
  const bytes = new Uint8Array(256);
  const view = new DataView(bytes.buffer);
  bytes[0x06] = 0x10;
  bytes[0x34] = 0x40;
  bytes[0x40] = 0x10;
  bytes[0x42] = 2;
  view.setUint16(0x64, capability2, true);
  view.setUint16(0x68, control2, true);
  return bytes;
}

const ROOT = bridge('00:01.0', 1, 'root_port', { config: config(0x100) });
const ENDPOINT = device('01:00.0', 'endpoint', { config: config(ALL) });

const of = (bdf: string, functions: Parameters<typeof device>[2][]) => {
  const topology = new Topology({ functions: [ROOT, ...(functions as never[])] });
  return atomicOps(topology, topology.get(bdf)!);
};

test.each([
  ['an endpoint below a root port', [ENDPOINT], 2],
  ['a legacy endpoint', [{ ...ENDPOINT, pcieType: 'legacy_endpoint' as const }], 2],
  ['a conventional function', [{ ...ENDPOINT, pcieType: null }], 0],
  ['a function whose config space nobody dumped', [{ ...ENDPOINT, config: null }], 0],
  ['a dump that ends before the register', [{ ...ENDPOINT, config: config(ALL).slice(0, 64) }], 0],
])('%s', (_title, functions, sizes) => expect(of('0000:01:00.0', functions)).toBe(sizes));

test('a VF has what its PF has; one of an unknown PF has none', () => {
  const vf = (vfOf: string) => device('01:00.1', 'endpoint', { isVf: true, vfOf });
  expect(of('0000:01:00.1', [ENDPOINT, vf('0000:01:00.0')])).toBe(2);
  expect(of('0000:01:00.1', [ENDPOINT, vf('0000:09:00.0')])).toBe(0);
});

test('a port is no requester', () => expect(of('0000:00:01.0', [ENDPOINT])).toBe(0));
