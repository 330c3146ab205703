/**
 * The tools that people have read an exported /sys as they read a machine's own: lspci and lstopo show the functions, tree,
 * drivers, groups and NUMA nodes that the machine's description has. Skipped where a tool is not installed.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { computeGroups, importTopology, type PciFunction, type Topology } from '@vfiolab/pci';
import { readMachine } from '@vfiolab/scenario';
import { main } from '../../libs/cli/src/main.js';
import { FakeTerminal } from '../../libs/cli/src/testing/fake-terminal.js';

const MACHINES = ['lambda-vector-wrx80-a', 'sm-as4125gs-8gpu', 'sm-4029gp-trt2', 'dell-r7425-2s', 'imac-cometlake'];
const file = (machine: string): string => join('test', 'machines', `${machine}.json`);

const has = (tool: string): boolean => {
  try {
    execFileSync(tool, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};
const hasLspci = has('lspci');
const hasLstopo = has('lstopo-no-graphics');

const dir = mkdtempSync(join(tmpdir(), 'vfiolab-sysfs-test-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const out = (machine: string): string => join(dir, machine);
const hex = (value: number | null, digits: number): string => (value ?? 0).toString(16).padStart(digits, '0');

/** What the description says of a function, in the words of the tools. */
function said(topology: Topology, groupOf: ReadonlyMap<string, number>, f: PciFunction): Record<string, string> {
  const driver =
    f.driver ?? (['root_port', 'upstream', 'downstream'].includes(f.pcieType ?? '') ? 'pcieport' : undefined);
  const group = groupOf.get(f.bdf);
  return {
    Slot: f.bdf,
    Class: hex(f.classCode === null ? null : f.classCode >>> 8, 4),
    Vendor: hex(f.vendor ?? 0xffff, 4),
    Device: hex(f.device ?? 0xffff, 4),
    ...(driver === undefined ? {} : { Driver: driver }),
    ...(group === undefined ? {} : { IOMMUGroup: String(group) }),
    ...(f.numaNode === null ? {} : { NUMANode: String(f.numaNode) }),
  };
}

/** A machine whose kernel had no IOMMU has no groups. */
function groupsOf(topology: Topology): Map<string, number> {
  if (topology.iommu === 'none' || topology.iommu === 'off') return new Map();
  return new Map(computeGroups(topology).flatMap(({ id, devices }) => devices.map((bdf) => [bdf, id] as const)));
}

const recordsOf = (text: string): Record<string, string>[] =>
  text
    .trim()
    .split('\n\n')
    .map((record) => Object.fromEntries(record.split('\n').map((line) => line.split(':\t') as [string, string])));

describe.each(MACHINES)('%s', (machine) => {
  const topology = importTopology(readMachine(file(machine)));
  const groupOf = groupsOf(topology);

  beforeAll(async () => {
    const terminal = new FakeTerminal();
    expect(await main(['sysfs', '--machine', file(machine), '--out', out(machine)], terminal)).toBe(0);
  });

  it('every function has its directory below its bridges, and its group, driver and node', () => {
    const devices = join(out(machine), 'bus/pci/devices');
    expect(readdirSync(devices)).toEqual(topology.functions.map(({ bdf }) => bdf));
    for (const f of topology.functions) {
      const above = topology.bridgesAbove(f).map(({ bdf }) => bdf);
      const path = readlinkSync(join(devices, f.bdf)).split('/');
      expect(path.slice(-1 - above.length)).toEqual([...above.reverse(), f.bdf]);
      expect(Number(readFileSync(join(devices, f.bdf, 'numa_node'), 'utf8'))).toBe(f.numaNode ?? -1);
      const group = groupOf.get(f.bdf);
      if (group !== undefined) expect(basename(readlinkSync(join(devices, f.bdf, 'iommu_group')))).toBe(String(group));
    }
  });

  (hasLspci ? it : it.skip)('lspci shows the same functions, drivers, groups and nodes', () => {
    const path = `sysfs.path=${join(out(machine), 'bus/pci')}`;
    const args = ['-O', path, '-D', '-n', '-vmm', '-k'];
    const shown = recordsOf(execFileSync('lspci', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }));
    const wanted = topology.functions.map((f) => said(topology, groupOf, f));
    const keys = Object.keys({ Slot: 0, Class: 0, Vendor: 0, Device: 0, Driver: 0, IOMMUGroup: 0, NUMANode: 0 });
    const cut = (record: Record<string, string>) =>
      Object.fromEntries(keys.flatMap((key) => (record[key] === undefined ? [] : [[key, record[key]]])));
    const bySlot = (a: Record<string, string>, b: Record<string, string>) => (a['Slot']! < b['Slot']! ? -1 : 1);
    expect(shown.map(cut).sort(bySlot)).toEqual(wanted.map(cut).sort(bySlot));
  });

  (hasLspci ? it : it.skip)('lspci shows the same tree', () => {
    const path = `sysfs.path=${join(out(machine), 'bus/pci')}`;
    const text = execFileSync('lspci', ['-O', path, '-D', '-n', '-PP'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const shown = text.split('\n').flatMap((line) => (line === '' ? [] : [line.split(' ')[0]!]));
    const short = (bdf: string): string => bdf.slice(5);
    const wanted = topology.functions.map((f) => {
      const [first, ...rest] = [...topology.bridgesAbove(f).reverse(), f].map(({ bdf }) => bdf);
      return [first!, ...rest.map(short)].join('/');
    });
    expect(shown.sort()).toEqual(wanted.sort());
  });

  (hasLstopo ? it : it.skip)('lstopo shows the same functions below the same nodes', () => {
    const env = { ...process.env, HWLOC_FSROOT: out(machine), HWLOC_THISSYSTEM: '0', HWLOC_COMPONENTS: 'linux,stop' };
    const args = ['--whole-io', '--of', 'xml', '-'];
    const xml = execFileSync('lstopo-no-graphics', args, { encoding: 'utf8', env, maxBuffer: 2 ** 26 });
    const shown = [...xml.matchAll(/pci_busid="([0-9a-f:.]+)"/g)].map(([, bdf]) => bdf!);
    expect([...new Set(shown)].sort()).toEqual(topology.functions.map(({ bdf }) => bdf).sort());
    const nodes = new Set(topology.functions.flatMap(({ numaNode }) => (numaNode === null ? [] : [numaNode])));
    expect([...xml.matchAll(/type="NUMANode"/g)].length).toBe(Math.max(1, nodes.size));
  });
});

it('an export follows a run: the driver changes, and config space is then that of the function in use', async () => {
  const gpu = '/sys/bus/pci/devices/0000:41:00.0';
  const scenario = join(dir, 'follow.yaml');
  writeFileSync(
    scenario,
    `vfiolab: scenario/1
title: follow
host: { machine: lambda-vector-wrx80-a }
steps:
  - sysfs_write: { path: /sys/bus/pci/drivers/nvidia/unbind, data: '0000:41:00.0' }
  - sysfs_write: { path: ${gpu}/driver_override, data: vfio-pci }
  - sysfs_write: { path: /sys/bus/pci/drivers_probe, data: '0000:41:00.0' }
`,
  );
  const tree = join(dir, 'followed');
  const argv = ['run', scenario, '--out', join(dir, 'run'), '--sysfs', tree];
  expect(await main(argv, new FakeTerminal())).toBe(0);
  expect(basename(readlinkSync(join(tree, gpu, 'driver')))).toBe('vfio-pci');
  expect(existsSync(join(tree, gpu, 'vfio-dev/vfio0'))).toBe(true);
  const config = readFileSync(join(tree, gpu, 'config'));
  // vfio-pci has switched bus mastering off; the boot driver had it on.
  expect(config.readUInt16LE(4) & 4).toBe(0);
  expect(config.readUInt32LE(0)).toBe(0x223010de);
});

it.each([
  [['sysfs', '--out', 'x'], /--machine is missing/],
  [['sysfs', '--machine', 'imac-cometlake'], /--out is missing/],
  [['sysfs', '--machine', 'nowhere', '--out', 'x'], /there is no machine "nowhere"/],
  [['sysfs', '--machine', 'imac-cometlake', '--out', '/etc'], /--out: \/etc is not empty/],
])('%j is refused before anything is done', async (argv, problem) => {
  const terminal = new FakeTerminal();
  expect(await main(argv, terminal)).toBe(2);
  expect(terminal.written.err).toMatch(problem);
});
