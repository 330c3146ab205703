/** What administrators do meanwhile: drivers, virtual functions, mediated devices, module parameters, modes of nodes. */
import type { Chance } from '../chance.js';
import { any, type Move } from './moves.js';
import type { Program } from './program.js';

const PCI = '/sys/bus/pci';
const MDEV_TYPES = '/sys/class/mdev_bus/mtty/mdev_supported_types';
const VFIO_PCI = 'vfio-pci';
const PARAMETERS = [
  'vfio/parameters/enable_unsafe_noiommu_mode',
  'vfio_pci/parameters/enable_sriov',
  'vfio_iommu_type1/parameters/allow_unsafe_interrupts',
  'iommufd/parameters/allow_unsafe_interrupts',
  'vfio_iommu_type1/parameters/dma_entry_limit',
];
const MAX_NAMES = 24;

const isMdev = (name: string): boolean => name.includes('-');
const functions = (p: Program): string[] => p.yard.names.filter((name) => !isMdev(name));

/** A write to sysfs, which may wait until somebody closes a device. */
export function write(p: Program, path: string, data: string): void {
  p.later(() => p.sys(p.process.sysfsWrite(path, data)));
}

/** Takes a function from its driver and offers it to vfio-pci, or the other way round. Each step may wait. */
export async function handOver(p: Program, bdf: string, to: string): Promise<void> {
  const directory = `${PCI}/devices/${bdf}`;
  await p.get(p.process.sysfsWrite(`${directory}/driver/unbind`, bdf));
  await p.get(p.process.sysfsWrite(`${directory}/driver_override`, to));
  await p.get(p.process.sysfsWrite(`${PCI}/drivers_probe`, bdf));
}

function drivers(p: Program): Promise<void> {
  const { chance } = p;
  const bdf = chance.pick(functions(p));
  const turn = chance.below(6);
  if (turn < 2) p.later(() => handOver(p, bdf, VFIO_PCI));
  else if (turn === 2) p.later(() => handOver(p, bdf, '\n'));
  else if (turn === 3) write(p, `${PCI}/drivers/vfio-pci/${chance.once(2) ? 'unbind' : 'bind'}`, bdf);
  else if (turn === 4) write(p, `${PCI}/drivers_probe`, bdf);
  else write(p, `${PCI}/drivers/vfio-pci/${chance.once(2) ? 'new_id' : 'remove_id'}`, '1234 11e8');
  return Promise.resolve();
}

async function virtualFunctions(p: Program): Promise<void> {
  const { chance, yard } = p;
  const pf = chance.pick(yard.parents);
  write(p, `${PCI}/devices/${pf}/sriov_numvfs`, String(chance.pick([0, 1, 2, 3])));
  if (chance.once(4)) write(p, `${PCI}/devices/${pf}/sriov_drivers_autoprobe`, String(chance.below(2)));
  await p.sys(p.around.yard.host.pause(5));
  const there = (await p.get(p.process.listdir(`${PCI}/devices/${pf}`))) ?? [];
  for (const each of there.filter((name) => name.startsWith('virtfn'))) {
    const bdf = (await p.get(p.process.readlink(`${PCI}/devices/${pf}/${each}`)))?.split('/').pop();
    if (bdf === undefined) continue;
    note(p, bdf);
    if (chance.once(2)) p.later(() => handOver(p, bdf, VFIO_PCI));
  }
}

/** From now on programs ask for it. */
function note(p: Program, name: string): void {
  const { names } = p.yard;
  if (!names.includes(name) && names.length < MAX_NAMES) names.push(name);
}

const uuid = (chance: Chance): string => `83b8f4f2-509f-382f-3c1e-e6bfe0fa100${chance.below(4)}`;

async function mediated(p: Program): Promise<void> {
  const { chance, process } = p;
  const name = uuid(chance);
  if (chance.once(3)) return write(p, `/sys/bus/mdev/devices/${name}/remove`, '1');
  const made = await p.sys(process.sysfsWrite(`${MDEV_TYPES}/mtty-${1 + chance.below(2)}/create`, name));
  if (made.ok) note(p, name);
}

async function parameter(p: Program): Promise<void> {
  const { chance, process } = p;
  const name = chance.pick(PARAMETERS);
  // More often on than off: something is to happen.
  const value = name.endsWith('limit') ? chance.pick([1, 2, 65535]) : chance.once(4) ? 0 : 1;
  await p.get(process.sysfsWrite(`/sys/module/${name}`, String(value)));
}

async function readSysfs(p: Program): Promise<void> {
  const { chance, process } = p;
  const name = chance.pick(p.yard.names);
  const directory = `${isMdev(name) ? '/sys/bus/mdev' : PCI}/devices/${name}`;
  const turn = chance.below(4);
  if (turn === 0) await p.get(process.listdir('/sys/kernel/iommu_groups'));
  else if (turn === 1) await p.get(process.sysfsRead(`${directory}/iommu_group/reserved_regions`));
  else if (turn === 2) await p.get(process.listdir('/dev/vfio'));
  else await p.get(process.readlink(`${directory}/driver`));
}

async function chmod(p: Program): Promise<void> {
  const { chance, process } = p;
  const node = any(chance, (await p.get(process.listdir('/dev/vfio'))) ?? []);
  if (node !== undefined) await p.get(process.chmod(`/dev/vfio/${node}`, chance.pick([0o600, 0o666, 0])));
}

export const HOST_MOVES: readonly Move[] = [
  { name: 'drivers', weight: 5, run: drivers },
  { name: 'virtual functions', weight: 2, has: (_, { yard }) => yard.parents.length > 0, run: virtualFunctions },
  { name: 'mediated', weight: 3, run: mediated },
  { name: 'parameter', weight: 1, run: parameter },
  { name: 'sysfs', weight: 2, run: readSysfs },
  { name: 'chmod', weight: 1, run: chmod },
];
