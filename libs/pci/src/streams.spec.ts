/** Which functions an SMMUv3 serves. */
import { inStreamScope, streamClaims, Topology, type PciFunctionInit } from './index.js';

const bridge = (bdf: string, secondary: number, more: Partial<PciFunctionInit>): PciFunctionInit => ({
  bdf,
  headerType: 1,
  buses: { primary: null, secondary, subordinate: secondary },
  ...more,
});

function served(functions: PciFunctionInit[], units: readonly string[][] = []): string[] {
  const iommuUnits = units.map((each) => ({ functions: each, domainIds: 0, snoopControl: true }));
  const topology = new Topology({ functions, iommuUnits });
  return topology.functions.filter(inStreamScope(topology)).map(({ bdf }) => bdf.slice(5));
}

const twins = [{ bdf: '07:01.0' }, { bdf: '07:02.0' }];

test('behind a PCIe-to-PCI bridge only the first has the stream, and the bridge has another (trace c009)', () => {
  const functions = [bridge('00:09.0', 7, { pcieType: 'pcie_to_pci_bridge' }), ...twins];
  expect(served(functions)).toEqual(['00:09.0', '07:01.0']);
});
test('a conventional bridge puts its own address in, which is taken', () => {
  expect(served([bridge('00:09.0', 7, {}), ...twins])).toEqual(['00:09.0']);
});
test('Express ports pass addresses through', () => {
  expect(served([bridge('00:09.0', 7, { pcieType: 'root_port' }), ...twins])).toEqual([
    '00:09.0',
    '07:01.0',
    '07:02.0',
  ]);
});
test('PCI domains have streams of their own', () => {
  expect(served([{ bdf: '00:01.0' }, { bdf: '0001:00:01.0' }])).toHaveLength(2);
});
test('what no IOMMU serves takes no stream', () => {
  expect(served([{ bdf: '00:01.0', classCode: 0x080600 }, { bdf: '00:02.0' }])).toEqual(['00:02.0']);
});

test('who comes one by one takes what is free then, and keeps it', () => {
  const topology = new Topology({
    functions: [bridge('00:09.0', 7, { pcieType: 'pcie_to_pci_bridge' }), ...twins],
  });
  const [first, second] = twins.map(({ bdf }) => topology.get(`0000:${bdf}`)!);
  const claim = streamClaims(topology);
  expect([claim(second!), claim(first!), claim(second!)]).toEqual([true, false, true]);
  expect(streamClaims(topology, [second!.bdf])(first!)).toBe(false);
  expect(streamClaims(topology, [first!.bdf, '0000:07:09.0'])(first!)).toBe(true);
});
