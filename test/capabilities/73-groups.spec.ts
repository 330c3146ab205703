/** Capability 73: the group is the unit of trust: what could reach each other's memory, or be taken for each other, is in one. */
import { readdirSync, readFileSync } from 'node:fs';
import { TestHost } from '@vfiolab/sim';
import type { Result } from '@vfiolab/uapi';

/** Groups as system calls show them: members, in the order of their first. */
async function groupsOf(machine: string, iommu?: string): Promise<string[]> {
  const host = await TestHost.boot({ machine, ...(iommu !== undefined && { iommu }) });
  const p = await host.process('lspci');
  const value = <T>(r: Result<T>): T => {
    if (!r.ok) throw new Error(r.errno);
    return r.value;
  };
  const groups: string[] = [];
  for (const id of value(await host.run(p.listdir('/sys/kernel/iommu_groups')))) {
    const members = value(await host.run(p.listdir(`/sys/kernel/iommu_groups/${id}/devices`)));
    for (const bdf of members) {
      const link = value(await host.run(p.readlink(`/sys/bus/pci/devices/${bdf}/iommu_group`)));
      expect(link.replace(/.*\//, '')).toBe(id);
    }
    groups.push(members.join(' '));
  }
  return groups.sort();
}

const MACHINES = new URL('../machines/', import.meta.url);
interface Recorded {
  readonly functions: readonly { readonly bdf: string; readonly iommu_group?: number; readonly vendor: string }[];
}
const recorded = readdirSync(MACHINES)
  .filter((file) => file.endsWith('.json'))
  .map((file) => [file, readFileSync(new URL(file, MACHINES), 'utf8')] as const)
  .filter(([, text]) => (JSON.parse(text) as Recorded).functions.some((f) => f.iommu_group !== undefined));

function recordedGroups(text: string): string[] {
  const groups = new Map<number, string[]>();
  for (const { bdf, iommu_group: id } of (JSON.parse(text) as Recorded).functions)
    if (id !== undefined) groups.set(id, [...(groups.get(id) ?? []), bdf]);
  return [...groups.values()].map((members) => members.sort().join(' ')).sort();
}

it('73: there are machines to compare with', () => expect(recorded.length).toBeGreaterThan(20));

it.each(recorded)('73: the groups of %s are those that its own kernel made', async (_file, text) => {
  expect(await groupsOf(text)).toEqual(recordedGroups(text));
});

const OPEN = {};
const ISOLATED = { acs: { offset: 0x100, cap: 0x1d, ctrl: 0x1d } };
const OFF = { acs: { offset: 0x100, cap: 0, ctrl: 0 } };
const bridge = (bdf: string, bus: number, pcie_type: string | undefined, more: object = OPEN, last = bus) => ({
  ...{ bdf: `0000:${bdf}`, vendor: '0x1b36', device: '0x000c', class: '0x060400', header_type: 1 },
  ...(pcie_type !== undefined && { pcie_type }),
  ...{ primary_bus: Number.parseInt(bdf, 16), secondary_bus: bus, subordinate_bus: last },
  ...more,
});
const device = (bdf: string, pcie_type?: string, more: object = OPEN) => ({
  ...{ bdf: `0000:${bdf}`, vendor: '0x1234', device: '0x11e8', class: '0x00ff00', header_type: 0 },
  ...(pcie_type !== undefined && { pcie_type }),
  ...more,
});
const MULTI = { multifunction: true };

/** The rules one by one (semantics A1.1 to A1.8). */
const TOPOLOGIES: readonly (readonly [string, readonly object[], readonly string[]])[] = [
  [
    'a port without ACS keeps what is below it',
    [bridge('00:01.0', 1, 'root_port'), device('01:00.0', 'endpoint')],
    ['00:01.0 01:00.0'],
  ],
  [
    'a port with ACS lets it go',
    [bridge('00:01.0', 1, 'root_port', ISOLATED), device('01:00.0', 'endpoint')],
    ['00:01.0', '01:00.0'],
  ],
  [
    'ports of one slot without ACS share with all that is below any of them',
    [
      bridge('00:01.0', 1, 'root_port', MULTI),
      bridge('00:01.1', 2, 'root_port', MULTI),
      device('01:00.0', 'endpoint'),
      device('02:00.0', 'endpoint'),
    ],
    ['00:01.0 00:01.1 01:00.0 02:00.0'],
  ],
  [
    'one downstream port without ACS keeps its own below the switch',
    [
      bridge('00:01.0', 1, 'root_port', ISOLATED, 4),
      bridge('01:00.0', 2, 'upstream', OPEN, 4),
      bridge('02:00.0', 3, 'downstream', ISOLATED),
      bridge('02:01.0', 4, 'downstream'),
      device('03:00.0', 'endpoint'),
      device('04:00.0', 'endpoint'),
    ],
    ['00:01.0', '01:00.0', '02:00.0', '02:01.0 04:00.0', '03:00.0'],
  ],
  [
    'functions of a device without ACS are together, with ACS apart',
    [
      ...[device('00:03.0', 'rciep', MULTI), device('00:03.1', 'rciep', MULTI)],
      ...[device('00:04.0', 'rciep', { ...MULTI, ...OFF }), device('00:04.1', 'rciep', { ...MULTI, ...OFF })],
    ],
    ['00:03.0 00:03.1', '00:04.0', '00:04.1'],
  ],
  [
    'all behind a bridge to conventional PCI has the bridge’s requester id',
    [bridge('00:02.0', 1, 'pcie_to_pci_bridge'), device('01:01.0'), device('01:02.0')],
    ['00:02.0 01:01.0 01:02.0'],
  ],
  [
    'a function that does DMA as another one is with it',
    [
      bridge('00:01.0', 1, 'root_port', ISOLATED),
      device('01:00.0', 'endpoint', { ...MULTI, ...OFF, vendor: '0x1b4b', device: '0x9123', class: '0x010601' }),
      device('01:00.1', 'endpoint', { ...MULTI, ...OFF, vendor: '0x1b4b', device: '0x91a4', class: '0x01018f' }),
    ],
    ['00:01.0', '01:00.0 01:00.1'],
  ],
  [
    'VFs are alone, whatever their PF is',
    [
      bridge('00:01.0', 1, 'root_port', ISOLATED),
      ...['01:00.0', '01:00.1'].map((bdf) => device(bdf, 'endpoint', MULTI)),
      ...['01:00.2', '01:00.3'].map((bdf) => device(bdf, 'endpoint', { vf_of: '0000:01:00.0' })),
    ],
    ['00:01.0', '01:00.0 01:00.1', '01:00.2', '01:00.3'],
  ],
];

it.each(TOPOLOGIES)('73: %s', async (_title, functions, expected) => {
  const machine = JSON.stringify({ format: 'pci-topology-fixture/1', functions });
  const groups = (await groupsOf(machine)).map((each) => each.replaceAll('0000:', ''));
  expect(groups).toEqual(expected);
});
