import { endpointNumber, importTopology, partitionableEndpoints } from './index.js';

const port = (bdf: string, pcie_type: string, primary: number, secondary: number, subordinate = secondary) => ({
  bdf,
  class: '0x060400',
  header_type: 1,
  pcie_type,
  primary_bus: primary,
  secondary_bus: secondary,
  subordinate_bus: subordinate,
});
const endpoint = (bdf: string) => ({ bdf, class: '0x00ff00', header_type: 0 });

const topology = importTopology(
  JSON.stringify({
    format: 'pci-topology-fixture/1',
    id: 'power',
    functions: [
      port('0000:00:00.0', 'root_port', 0, 1),
      endpoint('0000:01:00.0'),
      endpoint('0000:01:00.1'),
      port('0001:00:00.0', 'root_port', 0, 1, 4),
      port('0001:01:00.0', 'pcie_to_pci_bridge', 1, 2, 4),
      endpoint('0001:02:01.0'),
      port('0001:02:02.0', 'conventional', 2, 3),
      endpoint('0001:03:00.0'),
    ],
  }),
);

it('on bare metal a bus is a PE, and so is everything behind a bridge to PCI; ports are in none (SURPRISES 71)', () => {
  expect(partitionableEndpoints(topology, 'bus')).toEqual([
    { id: 0, devices: ['0000:01:00.0', '0000:01:00.1'] },
    { id: 1, devices: ['0001:02:01.0', '0001:03:00.0'] },
  ]);
});

it('under a hypervisor it is a host bridge', () => {
  expect(partitionableEndpoints(topology, 'host-bridge').map(({ devices }) => devices.length)).toEqual([2, 2]);
});

describe('numbers of PEs (trace p001)', () => {
  const wide = [{ index: 4, kind: 'mem', bits: 64, prefetchable: true, size: 16384 }];
  const numbered = importTopology(
    JSON.stringify({
      format: 'pci-topology-fixture/1',
      id: 'power',
      host_bridges: [{ domain: 1, endpoints: 256 }],
      functions: [
        port('0000:00:00.0', 'root_port', 0, 1, 2),
        port('0000:01:00.0', 'pcie_to_pci_bridge', 1, 2),
        endpoint('0000:02:01.0'),
        endpoint('0000:02:02.0'),
        port('0001:00:00.0', 'root_port', 0, 1, 4),
        port('0001:01:00.0', 'upstream', 1, 2, 4),
        port('0001:02:00.0', 'downstream', 2, 3),
        port('0001:02:01.0', 'downstream', 2, 4),
        { ...endpoint('0001:03:00.0'), bars: wide },
        endpoint('0001:04:00.0'),
      ],
    }),
  );
  const number = (bdf: string, unit: 'bus' | 'host-bridge' = 'bus') =>
    endpointNumber(numbered, unit, numbered.get(bdf)!).toString(16);

  it('buses take the highest that is free, in their order', () => {
    expect(['0000:02:01.0', '0000:02:02.0'].map((bdf) => number(bdf))).toEqual(['1fc', '1fc']);
    expect(number('0001:04:00.0')).toBe('fb');
  });

  it('a bus with a wide prefetchable window has the lowest', () => expect(number('0001:03:00.0')).toBe('0'));
  it('under a hypervisor there is one', () => expect(number('0001:04:00.0', 'host-bridge')).toBe('0'));
});
