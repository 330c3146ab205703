/**
 * Real machines: the groups computed here must be the groups their own kernels made. The kernel's numbers are read from
 * the file by this test alone; the library sees them only as "in scope" or not.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { computeGroups, decodeConfig, importTopology, type Group, type PciFunction, type Topology } from './index.js';

const MACHINES = new URL('../../../test/machines/', import.meta.url);

interface RecordedFunction {
  bdf: string;
  iommu_group?: number;
}

interface Recorded {
  id: string;
  tier: string;
  expect: { groups: number; grouped_functions: number; ids_equal_given_unit_order?: boolean } | null;
  functions: RecordedFunction[];
}

const load = (file: string): { text: string; recorded: Recorded } => {
  const text = readFileSync(new URL(file, MACHINES), 'utf8');
  return { text, recorded: JSON.parse(text) as Recorded };
};

const all = readdirSync(MACHINES)
  .filter((file) => file.endsWith('.json'))
  .map((file) => ({ file, ...load(file) }));
const grouped = all.filter(({ recorded }) => recorded.functions.some((f) => f.iommu_group !== undefined));
const named = (machines: typeof all): [string, (typeof all)[number]][] =>
  machines.map((machine) => [`${machine.recorded.tier} ${machine.recorded.id}`, machine]);

const recordedGroups = (recorded: Recorded): Map<number, string[]> => {
  const groups = new Map<number, string[]>();
  for (const { bdf, iommu_group: id } of recorded.functions) {
    if (id !== undefined) groups.set(id, [...(groups.get(id) ?? []), bdf].sort());
  }
  return groups;
};

/** A partition as text that does not depend on group numbers. */
const partition = (groups: Iterable<readonly string[]>): string[] =>
  [...groups].map((g) => [...g].sort().join(' ')).sort();
const devices = (groups: readonly Group[]): (readonly string[])[] => groups.map((group) => group.devices);

test('the machines that tests and docs rely on are there', () => {
  const count = (tier: string): number => all.filter(({ recorded }) => recorded.tier === tier).length;
  expect({ A: count('A-fair'), B: count('B-consistent'), D: count('D-hex/tree') }).toEqual({ A: 13, B: 11, D: 4 });
});

describe('the partition is the one the kernel of that machine made', () => {
  test.each(named(grouped))('%s', (_, { text, recorded }) => {
    const groups = computeGroups(importTopology(text));
    expect(partition(devices(groups))).toEqual(partition(recordedGroups(recorded).values()));
    expect(groups).toHaveLength(recorded.expect?.groups ?? -1);
  });
});

describe('probed IOMMU unit by unit in the recorded order, the group numbers are the kernel’s too', () => {
  const stated = grouped.filter(({ recorded }) => recorded.expect?.ids_equal_given_unit_order);
  test('most machines state it', () => expect(stated.length).toBeGreaterThanOrEqual(16));
  test.each(named(stated))('%s', (_, { text, recorded }) => {
    const got = computeGroups(importTopology(text)).map(({ id, devices: members }) => [id, [...members].sort()]);
    const want = [...recordedGroups(recorded)].sort(([a], [b]) => a - b);
    expect(got).toEqual(want);
  });
});

/** mulberry32: a small seeded generator, numbers in [0, 1). */
const seeded = (seed: number) => (): number => {
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
};

/** A random order of probing in which every bridge comes before what is behind it. */
const shuffledParentsFirst = (topology: Topology, random: () => number): string[] => {
  const waiting = new Set<PciFunction>(topology.functions);
  const done = new Set<string>();
  while (waiting.size > 0) {
    const ready = [...waiting].filter((f) => topology.bridgesAbove(f).every((bridge) => done.has(bridge.bdf)));
    const next = ready[Math.floor(random() * ready.length)];
    if (!next) throw new Error('the bus tree has a loop');
    waiting.delete(next);
    done.add(next.bdf);
  }
  return [...done];
};

describe('the order of probing changes numbers, never who shares a group', () => {
  test.each(named(grouped.filter(({ recorded }) => recorded.functions.length < 60)))('%s', (_, { text }) => {
    const topology = importTopology(text);
    const byAddress = partition(devices(computeGroups(topology)));
    for (let seed = 1; seed <= 5; seed++) {
      const probeOrder = shuffledParentsFirst(topology, seeded(seed));
      expect(partition(devices(computeGroups(topology, { probeOrder })))).toEqual(byAddress);
    }
  });
});

test('without recorded groups, AMD-Vi leaves out its own function and the host bridge in its slot', () => {
  const { text, recorded } = load('lambda-vector-wrx80-a.json');
  const bare = JSON.parse(text) as Recorded;
  for (const f of bare.functions) delete f.iommu_group;
  const groups = computeGroups(importTopology(JSON.stringify(bare)));
  expect(partition(devices(groups))).toEqual(partition(recordedGroups(recorded).values()));
});

test('without recorded groups, Intel VT-d leaves out nothing', () => {
  const { text, recorded } = load('ami-g6x-pex8748.json');
  const bare = JSON.parse(text) as Recorded;
  for (const f of bare.functions) delete f.iommu_group;
  const groups = computeGroups(importTopology(JSON.stringify(bare)));
  expect(partition(devices(groups))).toEqual(partition(recordedGroups(recorded).values()));
});

describe('what the bytes say is what the file says', () => {
  const facts = (f: PciFunction) => ({
    vendor: f.vendor,
    device: f.device,
    classCode: f.classCode,
    revision: f.revision,
    headerType: f.headerType,
    secondary: f.buses?.secondary ?? null,
  });
  const withBytes = all.filter(({ text }) => text.includes('"config":"'));
  test.each(named(withBytes))('%s', (_, { text }) => {
    let seen = 0;
    for (const f of importTopology(text).functions) {
      const bytes = f.config && decodeConfig(f.config);
      if (!bytes) continue;
      seen++;
      const { vendor, device, classCode, revision, headerType } = bytes;
      const secondary = bytes.buses?.secondary ?? null;
      expect({ bdf: f.bdf, vendor, device, classCode, revision, headerType, secondary }).toEqual({
        bdf: f.bdf,
        ...facts(f),
      });
      if (bytes.hasStandardCaps) expect([f.bdf, bytes.express?.type ?? null]).toEqual([f.bdf, f.pcieType]);
      if (bytes.hasExtendedCaps) expect([f.bdf, bytes.acs?.ctrl]).toEqual([f.bdf, f.acs?.ctrl]);
    }
    expect(seen).toBeGreaterThan(0);
  });
});

test('each SR-IOV VF of a real NIC has a group of its own', () => {
  const topology = importTopology(load('mlx-ovs-offload.json').text);
  const vfs = topology.functions.filter((f) => f.isVf);
  const groups = computeGroups(topology);
  expect(vfs).toHaveLength(6);
  for (const vf of vfs) expect(groups.find((group) => group.devices.includes(vf.bdf))?.devices).toEqual([vf.bdf]);
});
