/** Fixtures in: every wrong field is named by its JSON path; sniffing tells the two forms apart. */
import { LIMITS, TopologyError, importFixture, importTopology } from './index.js';

type Json = Record<string, unknown>;

const FUNCTION: Json = { bdf: '0000:00:01.0', vendor: '0x8086', device: '0x1901', class: '0x060400', header_type: 1 };
const machine = (extra: Json = {}, first: Json = {}): string =>
  JSON.stringify({ format: 'pci-topology-fixture/1', functions: [{ ...FUNCTION, ...first }], ...extra });

test('every field of a function arrives', () => {
  const text = machine(
    {
      iommu: { type: 'intel-vtd' },
      quirks: { intel_rciep_acs: false },
      expect: { iommu_unit_order_from_ids: ['gfx'] },
      host_bridges: [
        { domain: 0, parent: 'platform/1.pcie' },
        { domain: 1, window: { bus: '0x80000000', cpu: '0x600c000000000', size: '0x7fff0000' }, endpoints: 256 },
        { domain: 2, wide_window: { bus: '0x1', cpu: '0x2', size: '0x3' }, firmware: 'pciex@600c3c0200000' },
      ],
      probe_order: ['0000:00:01.0'],
    },
    {
      revision: '0x07',
      subsystem_vendor: '0x1028',
      subsystem_device: '0x0001',
      multifunction: true,
      primary_bus: 0,
      secondary_bus: 1,
      subordinate_bus: 3,
      pcie_type: 'root_port',
      acs: { offset: 320, cap: 15, ctrl: 13, dword_ctrl: 4294967295, inferred: true },
      sriov: { initial: 8, total: 8, num: 0, offset: 2, stride: 1, vf_device: '0x1018' },
      numa_node: 1,
      physical_slot: '7-2',
      driver: 'pcieport',
      iommu_group: 4,
      bars: [{ index: 0, kind: 'mem', bits: 64, prefetchable: true, size: 4096, vf: false }],
      caps: ['a0 Express (v2) Root Port', '140 Access Control Services'],
      ext_caps: ['0x000d'],
      config: '86800119'.padEnd(128, '0'),
      model: 'dma-engine',
      network: 'lan0',
      opregion: 'ab'.repeat(8192),
      loses_link: true,
      unknown_to_iommu: true,
    },
  );
  const topology = importFixture(text);
  expect(topology).toMatchObject({ iommu: 'intel-vtd', intelRciepAcs: false, unitOrder: ['gfx'] });
  expect(topology.hostBridges).toEqual(new Map([[0, 'platform/1.pcie']]));
  expect(topology.bridgeWindows).toEqual(
    new Map([[1, { bus: 0x80000000n, cpu: 0x600c000000000n, size: 0x7fff0000n }]]),
  );
  expect(topology.endpointCounts).toEqual(new Map([[1, 256]]));
  expect(topology.wideWindows).toEqual(new Map([[2, { bus: 1n, cpu: 2n, size: 3n }]]));
  expect(topology.firmwareNames).toEqual(new Map([[2, 'pciex@600c3c0200000']]));
  expect(topology.probeOrder).toEqual(['0000:00:01.0']);
  expect(topology.get('0000:00:01.0')).toEqual({
    bdf: '0000:00:01.0',
    domain: 0,
    bus: 0,
    dev: 1,
    fn: 0,
    vendor: 0x8086,
    device: 0x1901,
    classCode: 0x060400,
    revision: 7,
    subsystemVendor: 0x1028,
    subsystemDevice: 1,
    headerType: 1,
    multifunction: true,
    buses: { primary: 0, secondary: 1, subordinate: 3 },
    pcieType: 'root_port',
    acs: { offset: 320, cap: 15, ctrl: 13, dwordCtrl: 0xffffffff, inferred: true },
    sriov: { initialVfs: 8, totalVfs: 8, numVfs: 0, offset: 2, stride: 1, vfDevice: 0x1018 },
    isVf: false,
    vfOf: null,
    vfTemplate: null,
    numaNode: 1,
    physicalSlot: '7-2',
    driver: 'pcieport',
    iommuGroup: 4,
    bars: [{ index: 0, kind: 'mem', bits: 64, prefetchable: true, size: 4096, vf: false }],
    caps: [
      { offset: 0xa0, id: null, extended: false, name: 'Express (v2) Root Port' },
      { offset: 0x140, id: null, extended: true, name: 'Access Control Services' },
      { offset: null, id: 0x0d, extended: true, name: null },
    ],
    config: Uint8Array.from({ length: 64 }, (_, at) => [0x86, 0x80, 0x01, 0x19][at] ?? 0),
    model: 'dma-engine',
    network: 'lan0',
    opregion: new Uint8Array(8192).fill(0xab),
    losesLink: true,
    unknownToIommu: true,
  });
});

test('what is absent is unknown, and a class of PCI bridge implies the header', () => {
  const text =
    '{"format":"pci-topology-fixture/1","functions":[{"bdf":"00:01.0","class":"0x060400"},{"bdf":"00:02.1","vf_of":"00:02.0"}]}';
  const [bridge, vf] = importFixture(text).functions;
  expect(bridge).toMatchObject({ bdf: '0000:00:01.0', vendor: null, headerType: 1, pcieType: null, iommuGroup: null });
  expect(vf).toMatchObject({ isVf: true, vfOf: '0000:00:02.0', multifunction: false });
});

describe('a wrong field is named by its path', () => {
  const faults: [fault: string, text: string, path: string, message: RegExp][] = [
    ['no JSON', '{"format":', '$', /is not JSON/],
    ['another format', '{"format":"x"}', 'format', /Expected "pci-topology-fixture\/1"/],
    ['no functions', '{"format":"pci-topology-fixture/1"}', 'functions', /Found nothing/],
    ['functions that are no list', machine({ functions: 7 }), 'functions', /Expected an array/],
    ['a function that is no object', machine({ functions: [7] }), 'functions[0]', /Expected an object/],
    ['a function without address', machine({ functions: [{}] }), 'functions[0].bdf', /Found nothing/],
    ['an address that is none', machine({}, { bdf: '00:99.0' }), 'functions[0]', /is not a PCI address/],
    ['an order of no addresses', machine({ probe_order: ['eth0'] }), 'probe_order[0]', /a PCI address/],
    [
      'a window that is no number',
      machine({ host_bridges: [{ domain: 0, window: { bus: '80000000', cpu: '0x0', size: '0x1' } }] }),
      'host_bridges[0].window.bus',
      /64 bits in hexadecimal/,
    ],
    [
      'a name without an address',
      machine({ host_bridges: [{ domain: 0, firmware: '../pci' }] }),
      'host_bridges[0].firmware',
      /a name, @ and an address/,
    ],
    [
      'a place that is no number',
      machine({}, { bars: [{ index: 6, kind: 'mem', address: '80000000' }] }),
      'functions[0].bars[0].address',
      /64 bits in hexadecimal/,
    ],
    ['a PF that is no address', machine({}, { vf_of: 'eth0' }), 'functions[0].vf_of', /a PCI address/],
    ['an id without 0x', machine({}, { vendor: '8086' }), 'functions[0].vendor', /0x and up to 4 hex digits/],
    ['an id as a number', machine({}, { device: 5 }), 'functions[0].device', /hex digits/],
    ['a class of 32 bits', machine({}, { class: '0x06040000' }), 'functions[0].class', /up to 6 hex digits/],
    ['a header type of 3', machine({}, { header_type: 3 }), 'functions[0].header_type', /from 0 to 2/],
    ['a flag as text', machine({}, { multifunction: 'yes' }), 'functions[0].multifunction', /true or false/],
    ['a bus of 256', machine({}, { secondary_bus: 256 }), 'functions[0].secondary_bus', /from 0 to 255/],
    ['an unknown port type', machine({}, { pcie_type: 'hub' }), 'functions[0].pcie_type', /one of endpoint,/],
    ['an unknown IOMMU', machine({ iommu: { type: 'magic' } }), 'iommu.type', /one of intel-vtd,/],
    ['ACS bits beyond 16', machine({}, { acs: { ctrl: 65536 } }), 'functions[0].acs.ctrl', /from 0 to 65535/],
    ['SR-IOV without counts', machine({}, { sriov: {} }), 'functions[0].sriov.initial', /Found nothing/],
    ['a BAR of no kind', machine({}, { bars: [{ index: 0 }] }), 'functions[0].bars[0].kind', /mem or io/],
    [
      'a BAR of 48 bits',
      machine({}, { bars: [{ index: 0, kind: 'mem', bits: 48 }] }),
      'functions[0].bars[0].bits',
      /32 or 64/,
    ],
    ['a capability without offset', machine({}, { caps: ['Express'] }), 'functions[0].caps[0]', /an offset in hex/],
    [
      'a config space of 3 bytes',
      machine({}, { config: 'aabbcc' }),
      'functions[0].config',
      /64, 128, 256 or 4096 bytes/,
    ],
    [
      'an OpRegion that is too short',
      machine({}, { opregion: '00'.repeat(8191) }),
      'functions[0].opregion',
      /8192 to 65536 bytes/,
    ],
    [
      'an OpRegion that is too long',
      machine({}, { opregion: '00'.repeat(65537) }),
      'functions[0].opregion',
      /8192 to 65536 bytes/,
    ],
    ['a network without a name', machine({}, { network: '' }), 'functions[0].network', /1 to 32 letters/],
    ['a config space that is no hex', machine({}, { config: 'zz'.repeat(64) }), 'functions[0].config', /in hex/],
    [
      'too many BARs',
      machine({}, { bars: Array(LIMITS.bars + 1).fill({ index: 0, kind: 'io' }) }),
      'functions[0].bars',
      /at most 16 elements/,
    ],
    [
      'too many capabilities',
      machine({}, { caps: Array(LIMITS.capabilities + 1).fill('40 X') }),
      'functions[0].caps',
      /at most 1024 elements/,
    ],
    [
      'too many functions',
      machine({ functions: Array(LIMITS.functions + 1).fill({}) }),
      'functions',
      /at most 16384 elements/,
    ],
    ['too long a text', ' '.repeat(LIMITS.textLength + 1), '$', /at most 67108864 are accepted/],
    ['one function twice', machine({ functions: [FUNCTION, FUNCTION] }), 'functions[1]', /0000:00:01.0 appears twice/],
  ];
  test.each(faults)('%s', (_, text, path, message) => {
    expect(() => importFixture(text)).toThrow(message);
    expect(() => importFixture(text)).toThrow(
      expect.objectContaining({ name: 'TopologyError', path, line: null }) as Error,
    );
  });

  test('lists at their limit are accepted', () => {
    const bars = Array(LIMITS.bars).fill({ index: 0, kind: 'io' });
    const caps = Array(LIMITS.capabilities).fill('40 X');
    expect(importFixture(machine({}, { bars, caps })).functions[0]).toMatchObject({ bars: { length: LIMITS.bars } });
  });
});

describe('either form is recognised', () => {
  test('JSON by its first brace, after white space and a byte order mark', () => {
    expect(importTopology(`\uFEFF\n  ${machine()}`).functions).toHaveLength(1);
  });
  test('all else is lspci', () => {
    expect(importTopology('00:00.0 0600: 8086:1237').functions).toHaveLength(1);
    expect(() => importTopology('[1]')).toThrow(TopologyError);
  });
});
