/** Grouping rules on small machines made for one rule each. The names are the rules; the groups are the assertion. */
import { GroupTable, Topology, TopologyError, computeGroups, unitProbeOrder } from './index.js';
import type { Acs, PciFunctionInit } from './index.js';
import { ALL_OFF, ALL_ON, AMD_IOMMU, MULTI, bridge, device, groupsOf, type Extra } from './synthetic-machine.js';

describe('ACS on the path (A1.2, A1.3)', () => {
  const twoPorts = (acs: Acs | null): PciFunctionInit[] => [
    bridge('00:01.0', 1, 'root_port', { acs, ...MULTI }),
    bridge('00:01.1', 2, 'root_port', { acs, ...MULTI }),
    device('01:00.0', 'endpoint'),
    device('02:00.0', 'endpoint'),
  ];
  const cases: [rule: string, functions: PciFunctionInit[], groups: string][] = [
    ['enabled on both root ports: four groups', twoPorts(ALL_ON), '00:01.0 | 00:01.1 | 01:00.0 | 02:00.0'],
    ['no ACS: endpoints share with the ports of the slot', twoPorts(null), '00:01.0 00:01.1 01:00.0 02:00.0'],
    ['present but disabled is no ACS', twoPorts(ALL_OFF), '00:01.0 00:01.1 01:00.0 02:00.0'],
    [
      'one required flag capable but off is no ACS',
      twoPorts({ ...ALL_ON, ctrl: 0x0d }),
      '00:01.0 00:01.1 01:00.0 02:00.0',
    ],
    [
      'a required flag that the capability lacks counts as fulfilled',
      twoPorts({ ...ALL_ON, cap: 0x0f, ctrl: 0x0d }),
      '00:01.0 | 00:01.1 | 01:00.0 | 02:00.0',
    ],
    [
      'flags beyond the four do not matter',
      twoPorts({ ...ALL_ON, cap: 0x7f, ctrl: 0x1d }),
      '00:01.0 | 00:01.1 | 01:00.0 | 02:00.0',
    ],
    [
      'a capability whose registers were not shown is taken as enabled',
      twoPorts({ ...ALL_ON, cap: null, ctrl: null }),
      '00:01.0 | 00:01.1 | 01:00.0 | 02:00.0',
    ],
    [
      'ports in different slots do not share even without ACS',
      [bridge('00:01.0', 1, 'root_port'), bridge('00:02.0', 2, 'root_port'), device('01:00.0', 'endpoint')],
      '00:01.0 01:00.0 | 00:02.0',
    ],
  ];
  test.each(cases)('%s', (_, functions, groups) => expect(groupsOf(functions)).toBe(groups));

  test('a kernel that starts with an IOMMU switches capable flags on', () => {
    expect(groupsOf(twoPorts(ALL_OFF), { acsControl: 'kernel' })).toBe('00:01.0 | 00:01.1 | 01:00.0 | 02:00.0');
    expect(groupsOf(twoPorts(null), { acsControl: 'kernel' })).toBe('00:01.0 00:01.1 01:00.0 02:00.0');
  });
});

describe('switches', () => {
  const behindSwitch = (acs: Acs | null): PciFunctionInit[] => [
    bridge('00:01.0', 1, 'root_port', { acs: ALL_ON, buses: { primary: 0, secondary: 1, subordinate: 4 } }),
    bridge('01:00.0', 2, 'upstream', { buses: { primary: 1, secondary: 2, subordinate: 4 } }),
    bridge('02:00.0', 3, 'downstream', { acs }),
    bridge('02:01.0', 4, 'downstream', { acs }),
    device('03:00.0', 'endpoint'),
    device('04:00.0', 'endpoint'),
  ];
  const cases: [rule: string, functions: PciFunctionInit[], groups: string][] = [
    [
      'ACS on the downstream ports separates what is below them',
      behindSwitch(ALL_ON),
      '00:01.0 | 01:00.0 | 02:00.0 | 02:01.0 | 03:00.0 | 04:00.0',
    ],
    [
      'a downstream port without ACS keeps its own endpoint only: the path above it isolates',
      behindSwitch(null),
      '00:01.0 | 01:00.0 | 02:00.0 03:00.0 | 02:01.0 04:00.0',
    ],
  ];
  test.each(cases)('%s', (_, functions, groups) => expect(groupsOf(functions)).toBe(groups));

  test('a root port without ACS takes everything below it, however deep', () => {
    const [root, ...below] = behindSwitch(ALL_ON);
    const open = [{ ...root, acs: null } as PciFunctionInit, ...below];
    expect(groupsOf(open)).toBe('00:01.0 01:00.0 02:00.0 02:01.0 03:00.0 04:00.0');
  });

  test('a port that names its direction wrongly is judged by what it must be', () => {
    const wrong = behindSwitch(ALL_ON).map((f) =>
      f.pcieType === 'upstream' ? { ...f, pcieType: 'downstream' as const } : f,
    );
    expect(groupsOf(wrong)).toBe('00:01.0 | 01:00.0 | 02:00.0 | 02:01.0 | 03:00.0 | 04:00.0');
  });
});

describe('functions of one device (A1.4, A1.6)', () => {
  const root = bridge('00:01.0', 1, 'root_port', { acs: ALL_ON });
  const pair = (extra: Extra, second: Extra = extra): PciFunctionInit[] => [
    root,
    device('01:00.0', 'endpoint', { ...MULTI, ...extra }),
    device('01:00.1', 'endpoint', { ...MULTI, ...second }),
  ];
  const cases: [rule: string, functions: PciFunctionInit[], groups: string][] = [
    ['without ACS they are one group', pair({}), '00:01.0 | 01:00.0 01:00.1'],
    [
      'with ACS that has nothing to switch each is alone',
      pair({ acs: { ...ALL_ON, cap: 0, ctrl: 0 } }),
      '00:01.0 | 01:00.0 | 01:00.1',
    ],
    ['one isolated function does not join the others', pair({}, { acs: ALL_ON }), '00:01.0 | 01:00.0 | 01:00.1'],
    [
      'a vendor that excludes peer-to-peer: Intel I350',
      pair({ vendor: 0x8086, device: 0x1521 }),
      '00:01.0 | 01:00.0 | 01:00.1',
    ],
    [
      'conventional functions of one slot are one group',
      [device('00:1f.0', null, MULTI), device('00:1f.3', null, MULTI)],
      '00:1f.0 00:1f.3',
    ],
    [
      'single conventional functions of different slots are apart',
      [device('00:14.0', null), device('00:16.0', null)],
      '00:14.0 | 00:16.0',
    ],
    [
      'root complex event collectors never have ACS',
      [device('00:00.4', 'rcec', { ...MULTI, acs: ALL_ON }), device('00:00.5', 'rcec', { ...MULTI, acs: ALL_ON })],
      '00:00.4 00:00.5',
    ],
  ];
  test.each(cases)('%s', (_, functions, groups) => expect(groupsOf(functions)).toBe(groups));

  test('SR-IOV VFs are never multifunction, so each is alone', () => {
    const vf = { isVf: true, vfOf: '0000:01:00.0' };
    const functions = [...pair({}), device('01:00.2', 'endpoint', vf), device('01:00.3', 'endpoint', vf)];
    expect(groupsOf(functions)).toBe('00:01.0 | 01:00.0 01:00.1 | 01:00.2 | 01:00.3');
  });

  test('VFs on a bus number of their own still hang below the port of their PF', () => {
    const open = bridge('00:01.0', 1, 'root_port', { buses: { primary: 0, secondary: 1, subordinate: 2 } });
    const vf = device('02:00.0', 'endpoint', { isVf: true, vfOf: '0000:01:00.0' });
    expect(groupsOf([open, device('01:00.0', 'endpoint'), vf])).toBe('00:01.0 01:00.0 02:00.0');
  });
});

describe('conventional PCI (A1.1)', () => {
  const cases: [rule: string, functions: PciFunctionInit[], groups: string][] = [
    [
      'everything behind a PCIe-to-PCI bridge is one group, the bridge included',
      [
        bridge('00:1c.0', 5, 'root_port', { acs: ALL_ON, buses: { primary: 0, secondary: 5, subordinate: 6 } }),
        bridge('05:00.0', 6, 'pcie_to_pci_bridge'),
        device('06:01.0', null),
        device('06:02.0', null),
      ],
      '00:1c.0 | 05:00.0 06:01.0 06:02.0',
    ],
    [
      'everything behind a conventional bridge is one group, the bridge included',
      [bridge('00:1e.0', 3, null), device('03:00.0', null), device('03:04.0', null)],
      '00:1e.0 03:00.0 03:04.0',
    ],
    [
      'a conventional bridge shares with the functions of its slot',
      [bridge('00:14.4', 3, null, MULTI), device('00:14.0', null, MULTI), device('03:00.0', null)],
      '00:14.0 00:14.4 03:00.0',
    ],
    [
      'nested conventional bridges end in the topmost',
      [
        bridge('00:1e.0', 3, null, { buses: { primary: 0, secondary: 3, subordinate: 4 } }),
        bridge('03:01.0', 4, null),
        device('04:00.0', null),
      ],
      '00:1e.0 03:01.0 04:00.0',
    ],
  ];
  test.each(cases)('%s', (_, functions, groups) => expect(groupsOf(functions)).toBe(groups));
});

describe('IOMMU scope', () => {
  test('a function that the IOMMU does not know has no group, and its neighbours have theirs', () => {
    const strange = device('00:02.0', 'endpoint', { unknownToIommu: true });
    expect(groupsOf([device('00:01.0', 'endpoint'), strange, device('00:03.0', 'endpoint')])).toBe('00:01.0 | 00:03.0');
  });

  const host = (vendor: number): PciFunctionInit => device('00:00.0', null, { vendor, classCode: 0x060000, ...MULTI });
  const nic = device('00:05.0', 'rciep');
  const cases: [rule: string, functions: PciFunctionInit[], groups: string][] = [
    ['an AMD host bridge in the slot of the IOMMU is outside', [host(0x1022), AMD_IOMMU, nic], '00:05.0'],
    ['an ATI host bridge there is inside', [host(0x1002), AMD_IOMMU, nic], '00:00.0 | 00:05.0'],
    [
      'a host bridge in another slot is inside',
      [device('00:18.0', null, { vendor: 0x1022, classCode: 0x060000 }), AMD_IOMMU],
      '00:18.0',
    ],
    ['a virtio-iommu is outside', [device('00:03.0', null, { vendor: 0x1af4, device: 0x1057 }), nic], '00:05.0'],
    ['where the kernel recorded groups, they say who is inside', [host(0x1022), { ...nic, iommuGroup: 7 }], '00:05.0'],
  ];
  test.each(cases)('%s', (_, functions, groups) => expect(groupsOf(functions)).toBe(groups));

  test('a caller may decide instead', () => {
    expect(groupsOf([host(0x1022), nic], { scope: (f) => f.bdf === '0000:00:00.0' })).toBe('00:00.0');
  });
});

describe('a machine that runs', () => {
  const root = bridge('00:01.0', 1, 'root_port');
  const first = device('01:00.0', 'endpoint', MULTI);
  const second = device('01:00.1', 'endpoint', MULTI);

  test('a device hot-plugged below a port without ACS joins the group that is there', () => {
    const table = new GroupTable(new Topology({ functions: [root, first] }));
    expect(['0000:00:01.0', '0000:01:00.0'].map((bdf) => table.probe(bdf))).toEqual([0, 0]);
    table.replug(new Topology({ functions: [root, first, second] }));
    expect(table.probe('0000:01:00.1')).toBe(0);
    expect(table.groups()).toEqual([{ id: 0, devices: ['0000:00:01.0', '0000:01:00.0', '0000:01:00.1'] }]);
  });

  test('the number of an emptied group is given again, the lowest first', () => {
    const slots = ['00:01.0', '00:02.0', '00:03.0'].map((bdf) => device(bdf, 'rciep'));
    const table = new GroupTable(new Topology({ functions: slots }));
    expect(slots.map(({ bdf }) => table.probe(bdf))).toEqual([0, 1, 2]);
    table.remove('0000:00:02.0');
    table.remove('0000:00:01.0');
    expect(table.groupOf('0000:00:01.0')).toBeNull();
    expect([table.probe('0000:00:02.0'), table.probe('0000:00:01.0')]).toEqual([0, 1]);
  });

  test('a function that is unplugged leaves; the others keep their group', () => {
    const table = new GroupTable(new Topology({ functions: [root, first, second] }));
    for (const { bdf } of [root, first, second]) table.probe(bdf);
    table.replug(new Topology({ functions: [root, first] }));
    expect(table.groups()).toEqual([{ id: 0, devices: ['0000:00:01.0', '0000:01:00.0'] }]);
  });

  test('when the only member is unplugged its group is gone and the number free', () => {
    const lone = device('00:04.0', 'rciep');
    const table = new GroupTable(new Topology({ functions: [lone, root] }));
    for (const { bdf } of [lone, root]) table.probe(bdf);
    table.replug(new Topology({ functions: [root, first] }));
    expect(table.groups()).toEqual([{ id: 1, devices: ['0000:00:01.0'] }]);
    table.replug(new Topology({ functions: [root, device('00:05.0', 'rciep')] }));
    expect(table.probe('0000:00:05.0')).toBe(0);
  });

  test('probing twice changes nothing; probing an unknown function gives no group', () => {
    const table = new GroupTable(new Topology({ functions: [root] }));
    expect([table.probe('0000:00:01.0'), table.probe('0000:00:01.0'), table.probe('0000:09:00.0')]).toEqual([
      0,
      0,
      null,
    ]);
    table.remove('0000:09:00.0');
    expect(table.groups()).toHaveLength(1);
  });
});

describe('probe order', () => {
  const functions = [bridge('00:01.0', 1, 'root_port'), device('01:00.0', 'endpoint'), device('00:02.0', 'rciep')];
  const compute = (probeOrder: string[]) => computeGroups(new Topology({ functions }), { probeOrder });

  test('numbers follow it; functions it leaves out come by address', () => {
    expect(compute(['0000:00:02.0']).map(({ devices }) => devices[0])).toEqual(['0000:00:02.0', '0000:00:01.0']);
  });

  test('unit gfx is the display function at 00:02 alone; a root bus is all that hangs below it', () => {
    const machine = new Topology({
      functions: [
        ...functions,
        device('00:02.1', 'rciep', { classCode: 0x038000 }),
        device('00:05.0', 'rciep', { classCode: 0x030200 }),
        device('80:00.0', 'rciep'),
      ],
    });
    expect(unitProbeOrder(machine, ['0000:80', 'gfx']).map((bdf) => bdf.slice(5))).toEqual([
      '80:00.0',
      '00:02.1',
      '00:01.0',
      '00:02.0',
      '00:05.0',
      '01:00.0',
    ]);
  });

  const bad: [fault: string, order: string[], message: RegExp][] = [
    ['an unknown function', ['0000:00:09.0'], /names "0000:00:09.0". No such function/],
    ['a function twice', ['0000:00:02.0', '0000:00:02.0'], /names 0000:00:02.0 twice/],
    ['a device before its bridge', ['0000:01:00.0'], /names 0000:01:00.0 before its bridge 0000:00:01.0/],
  ];
  test.each(bad)('%s is refused', (_, order, message) => {
    expect(() => compute(order)).toThrow(TopologyError);
    expect(() => compute(order)).toThrow(message);
  });
});
