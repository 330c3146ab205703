/** Devices that the kernel does not judge by the book: DMA aliases, vendor rules in place of ACS, Intel VMD. */
import { Topology, dmaAliases } from './index.js';
import type { Acs, PciFunctionInit } from './index.js';
import { ALL_OFF, ALL_ON, AMD_IOMMU, MULTI, bridge, device, groupsOf } from './synthetic-machine.js';

describe('DMA alias quirks (A1.1, A1.5)', () => {
  const root = bridge('00:01.0', 1, 'root_port', { acs: ALL_ON });
  const isolated = { acs: ALL_ON, ...MULTI };
  const marvell = { vendor: 0x1b4b, device: 0x9230, ...isolated };
  const cases: [rule: string, functions: PciFunctionInit[], groups: string][] = [
    [
      'a Marvell disk controller does DMA as function 1: both functions are one group in spite of ACS',
      [root, device('01:00.0', 'endpoint', marvell), device('01:00.1', 'endpoint', isolated)],
      '00:01.0 | 01:00.0 01:00.1',
    ],
    [
      'function 1 of that controller has no alias of its own',
      [root, device('01:00.1', 'endpoint', marvell), device('01:00.2', 'endpoint', isolated)],
      '00:01.0 | 01:00.1 | 01:00.2',
    ],
    [
      'a Ricoh card reader does DMA as function 0',
      [
        root,
        device('01:00.0', 'endpoint', isolated),
        device('01:00.3', 'endpoint', { vendor: 0x1180, device: 0xe832, ...isolated }),
        device('01:00.4', 'endpoint', isolated),
      ],
      '00:01.0 | 01:00.0 01:00.3 | 01:00.4',
    ],
    [
      'an Adaptec 3405 does DMA as 01.0, whatever sits there',
      [
        device('00:01.0', 'rciep'),
        device('00:0e.0', 'rciep', {
          vendor: 0x9005,
          device: 0x0285,
          subsystemVendor: 0x9005,
          subsystemDevice: 0x02bb,
        }),
        device('00:0f.0', 'rciep'),
      ],
      '00:01.0 00:0e.0 | 00:0f.0',
    ],
    [
      'the same Adaptec chip on another board does not',
      [
        device('00:01.0', 'rciep'),
        device('00:0e.0', 'rciep', {
          vendor: 0x9005,
          device: 0x0285,
          subsystemVendor: 0x9005,
          subsystemDevice: 0x0286,
        }),
      ],
      '00:01.0 | 00:0e.0',
    ],
    [
      'a PLX NTB uses every devfn of its bus',
      [
        device('00:01.0', 'rciep'),
        device('00:02.0', 'rciep', { vendor: 0x10b5, device: 0x87b0 }),
        device('00:1f.0', 'rciep'),
      ],
      '00:01.0 00:02.0 00:1f.0',
    ],
    [
      'aliases join transitively through a function that has no group yet',
      [
        device('00:10.0', 'rciep'),
        device('00:11.0', 'rciep'),
        device('00:12.3', 'rciep'),
        device('00:1f.0', 'rciep', { vendor: 0x8086, device: 0x2260 }),
      ],
      '00:10.0 00:11.0 00:12.3 00:1f.0',
    ],
    [
      'an Intel VCA aliases functions 0-4 of every slot',
      [
        device('00:03.4', 'rciep'),
        device('00:04.5', 'rciep'),
        device('00:05.0', 'rciep', { vendor: 0x8086, device: 0x2954 }),
      ],
      '00:03.4 00:05.0 | 00:04.5',
    ],
  ];
  test.each(cases)('%s', (_, functions, groups) => expect(groupsOf(functions)).toBe(groups));
});

test('an alias that has no group yet leads to the functions of its slot', () => {
  const functions = [
    device('00:12.0', null, MULTI),
    device('00:12.3', null, MULTI),
    device('00:1f.0', 'rciep', { vendor: 0x8086, device: 0x2260 }),
  ];
  const probeOrder = ['0000:00:12.0', '0000:00:1f.0', '0000:00:12.3'];
  expect(groupsOf(functions, { probeOrder })).toBe('00:12.0 00:12.3 00:1f.0');
});

describe('bridges on the way up (A1.1)', () => {
  const below = (above: PciFunctionInit): string[] => {
    const topology = new Topology({ functions: [above, device('01:00.0', 'endpoint')] });
    const [endpoint] = topology.functions.filter((f) => f.bus === 1);
    return endpoint ? dmaAliases(topology, endpoint).map((f) => f.bdf.slice(5)) : [];
  };
  const cases: [rule: string, above: PciFunctionInit, aliases: string[]][] = [
    ['a root port passes requester ids through', bridge('00:00.0', 1, 'root_port'), ['01:00.0']],
    ['a PCIe-to-PCI bridge takes them over', bridge('00:00.0', 1, 'pcie_to_pci_bridge'), ['01:00.0', '00:00.0']],
    ['a PCI-to-PCIe bridge takes them over', bridge('00:00.0', 1, 'pci_to_pcie_bridge'), ['01:00.0', '00:00.0']],
    ['a conventional bridge takes them over', bridge('00:00.0', 1, null), ['01:00.0', '00:00.0']],
    [
      'at a bridge that the IOMMU sits behind, aliases end',
      bridge('00:00.0', 1, null, { vendor: 0x14e4, device: 0x9084 }),
      ['01:00.0'],
    ],
  ];
  test.each(cases)('%s', (_, above, aliases) => expect(below(above)).toEqual(aliases));
});

describe('vendor rules in place of ACS registers (A1.4)', () => {
  const southbridge = [
    device('00:14.0', null, { vendor: 0x1002, device: 0x4385, ...MULTI }),
    device('00:14.2', null, { vendor: 0x1002, device: 0x4383, ...MULTI }),
  ];
  const ports = (vendor: number, id: number, acs: Acs | null = null, second = id): PciFunctionInit[] => [
    bridge('00:1c.0', 1, 'root_port', { vendor, device: id, acs, ...MULTI }),
    bridge('00:1c.1', 2, 'root_port', { vendor, device: second, acs, ...MULTI }),
    device('01:00.0', 'endpoint'),
  ];
  const lpc = (rcba: number): PciFunctionInit => {
    const config = new Uint8Array(256);
    config[0xf0] = rcba;
    return device('00:1f.0', null, { vendor: 0x8086, config });
  };
  const apart = '00:1c.0 | 00:1c.1 | 01:00.0';
  const together = '00:1c.0 00:1c.1 01:00.0';
  const cases: [rule: string, functions: PciFunctionInit[], groups: string][] = [
    [
      'AMD southbridge functions are apart when the machine has an AMD IOMMU',
      [AMD_IOMMU, ...southbridge],
      '00:14.0 | 00:14.2',
    ],
    ['without an AMD IOMMU they are one group', southbridge, '00:14.0 00:14.2'],
    [
      'Intel integrated endpoints are apart',
      [
        device('00:04.0', 'rciep', { vendor: 0x8086, ...MULTI }),
        device('00:04.1', 'rciep', { vendor: 0x8086, ...MULTI }),
      ],
      '00:04.0 | 00:04.1',
    ],
    [
      'integrated endpoints of others are not',
      [device('00:04.0', 'rciep', MULTI), device('00:04.1', 'rciep', MULTI)],
      '00:04.0 00:04.1',
    ],
    ['Intel PCH root ports (Wellsburg) are apart without ACS', ports(0x8086, 0x8d10), apart],
    ['Patsburg has even ids only', ports(0x8086, 0x1d11), together],
    [
      'a PCH whose root complex registers are on is apart',
      [...ports(0x8086, 0x1c10), lpc(1)],
      `${apart.replace(' | 01', ' | 00:1f.0 | 01')}`,
    ],
    [
      'a PCH whose root complex registers are off is not',
      [...ports(0x8086, 0x1c10), lpc(0)],
      '00:1c.0 00:1c.1 01:00.0 | 00:1f.0',
    ],
    ['Sunrise Point ignores the register at +6', ports(0x8086, 0xa110, { ...ALL_OFF, dwordCtrl: 0x1d }), apart],
    [
      'Sunrise Point with the register at +8 off is one group',
      ports(0x8086, 0xa110, { ...ALL_ON, dwordCtrl: 0 }),
      together,
    ],
    ['Sunrise Point with +8 not in the dump counts as enabled by the kernel', ports(0x8086, 0xa110, ALL_OFF), apart],
    ['Sunrise Point without an ACS capability is one group', ports(0x8086, 0xa110), together],
    ['other Intel root ports go by their registers', ports(0x8086, 0x06b8, ALL_OFF), together],
    ['Cavium ThunderX1 root ports are apart', ports(0x177d, 0xa100), apart],
    ['other Cavium root ports go by their registers', ports(0x177d, 0xa800, ALL_ON), apart],
    ['Zhaoxin ports in the table are apart', ports(0x1d17, 0x0723), apart],
    ['Zhaoxin ports beyond it are not, whatever their registers say', ports(0x1d17, 0x0800, ALL_ON), together],
    ['Annapurna root ports are apart', ports(0x1c36, 0x0031), apart],
    ['Ampere root ports are apart', ports(0x1def, 0xe005), apart],
    ['NXP LX2 root ports are apart', ports(0x1957, 0x8d80), apart],
    ['Loongson root ports are apart', ports(0x0014, 0x7a29), apart],
    [
      'Wangxun NICs in the table are apart',
      [
        device('00:05.0', 'endpoint', { vendor: 0x8088, device: 0x1001, ...MULTI }),
        device('00:05.1', 'endpoint', { vendor: 0x8088, device: 0x1001, ...MULTI }),
      ],
      '00:05.0 | 00:05.1',
    ],
    [
      'other Wangxun functions are not isolated, whatever their registers say',
      [
        device('00:05.0', 'endpoint', { vendor: 0x8088, device: 0x9999, acs: ALL_ON, ...MULTI }),
        device('00:05.1', 'endpoint', { vendor: 0x8088, device: 0x9999, acs: ALL_ON, ...MULTI }),
      ],
      '00:05.0 00:05.1',
    ],
    [
      'Annapurna endpoints go by their registers',
      [
        device('00:05.0', 'endpoint', { vendor: 0x1c36, device: 0x0031, ...MULTI }),
        device('00:05.1', 'endpoint', { vendor: 0x1c36, device: 0x0031, ...MULTI }),
      ],
      '00:05.0 00:05.1',
    ],
  ];
  test.each(cases)('%s', (_, functions, groups) => expect(groupsOf(functions)).toBe(groups));

  test('a machine recorded under an old kernel had no rule for Intel integrated endpoints', () => {
    const pair = [0, 1].map((fn) => device(`00:04.${fn}`, 'rciep', { vendor: 0x8086, ...MULTI }));
    expect(groupsOf(pair, { intelRciepAcs: false })).toBe('00:04.0 00:04.1');
  });

  test('profiles 6.12, 7.2 and 7.3 give the same groups', () => {
    for (const profile of ['6.12', '7.2', '7.3'] as const)
      expect(groupsOf(ports(0x8086, 0x8d10), { profile })).toBe(apart);
  });
});

describe('Intel VMD (A1.1)', () => {
  const vmd = (bdf: string): PciFunctionInit => device(bdf, 'rciep', { vendor: 0x8086, device: 0x28c0, driver: 'vmd' });
  const nvme = (domain: string): PciFunctionInit => device(`${domain}:01:00.0`, 'endpoint');
  const port = (domain: string): PciFunctionInit => ({
    ...bridge('00:00.0', 1, 'root_port', { acs: ALL_ON }),
    bdf: `${domain}:00:00.0`,
  });

  test('children of a VMD belong to the group of its endpoint, domain by domain', () => {
    const functions = [vmd('00:05.5'), vmd('20:05.5'), port('10000'), nvme('10000'), port('10001'), nvme('10001')];
    expect(groupsOf(functions)).toBe('00:05.5 10000:00:00.0 10000:01:00.0 | 20:05.5 10001:00:00.0 10001:01:00.0');
  });

  test('an endpoint that its driver does not hold has no domain', () => {
    const idle = { ...vmd('00:05.5'), driver: null };
    expect(groupsOf([idle, vmd('20:05.5'), nvme('10000')])).toBe('00:05.5 | 20:05.5 10000:01:00.0');
  });

  test('children whose endpoint is not in the file stand for themselves', () => {
    expect(groupsOf([port('10000'), nvme('10000')])).toBe('10000:00:00.0 | 10000:01:00.0');
  });
});
