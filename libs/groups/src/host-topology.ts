/**
 * From a machine's description to a host as it stands after boot, before vfio-pci is bound to anything.
 *
 * Rule: a description or a setup that cannot be used answers text for people and makes nothing.
 */
import { Lock, type FunctionFacts, type HostSetup } from '@vfiolab/core';
import {
  atomicOps,
  computeGroups,
  groupsInOrder,
  diesOfBusReset,
  partitionableEndpoints,
  importTopology,
  inIommuScope,
  inStreamScope,
  streamClaims,
  TopologyError,
  translationCaps,
  wiringOf,
  type Group,
  type KernelProfile,
  type PciFunction,
  type Topology,
} from '@vfiolab/pci';
import { DriverTable, isPciePort, matches, PCIEPORT, VFIO_PCI } from './drivers.js';
import { igdOf, isVga } from './graphics.js';
import { type Device, type Host, type IommuGroup, lowestFreeGroup } from './host.js';
import { IOMMU_KINDS, type IommuKindTraits } from './iommu-kinds.js';
import { hasGroupNodes, KERNEL_BUILDS } from './kernel-build.js';
import type { Vm } from './kvm/vm.js';
import type { Mdev } from './mdev.js';
import { ModuleParameters } from './module-parameters.js';
import { takeAtBoot } from './ownership.js';
import type { Vdpa } from './vdpa.js';
import type { VfioGroup } from './vfio-group.js';

const PROFILES: readonly KernelProfile[] = ['6.12', '7.2', '7.3'];

/** The host, or what is wrong and what to do about it. */
export function buildHost(text: string, setup: HostSetup): Host | string {
  const profile = PROFILES.find((each) => each === setup.profile);
  if (!profile) return unknown('profile', setup.profile, PROFILES);
  const iommu = IOMMU_KINDS.get(setup.iommu);
  if (!iommu) return unknown('iommu', setup.iommu, [...IOMMU_KINDS.keys()]);
  if (iommu.endpoints && !hasGroupNodes(setup))
    return `vfioContainer "none" does not go with iommu "${setup.iommu}": kernels of POWER are never built without groups.`;
  try {
    const { topology, partition } = readDescription(text, profile, iommu);
    const unit = iommu.zpci ? 'function' : iommu.endpoints;
    const parts = unit ? partitionableEndpoints(topology, unit) : partition;
    const groups = iommu.translates ? groupsOf(parts) : new Map<number, IommuGroup>();
    const devices = devicesOf(topology, groups);
    const fixed = { setup, profile, iommu, topology, memoryMap: topology.memoryMaps.get(profile) };
    const drivers = new DriverTable(topology.functions, !iommu.firmwarePorts);
    const parameters = new ModuleParameters(setup);
    const vfioGroups = new Map<number, VfioGroup>();
    const empty = {
      mdevs: new Map<string, Mdev>(),
      vdpas: new Map<string, Vdpa>(),
      vms: new Map<number, Vm>(),
      lingering: new Set<string>(),
      modes: new Map<string, number>(),
      removed: new Map(),
      linksDown: new Map(),
    };
    const bootGroups = new Map(
      [...groups.values()].flatMap(({ id, members }) => members.map((bdf) => [bdf, id] as const)),
    );
    const rest = { drivers, parameters, vfioGroups, tainted: false, rescan: new Lock(), bootGroups };
    const host = { ...fixed, ...empty, ...rest, devices, groups };
    addVdpas(host);
    return host;
  } catch (e) {
    if (e instanceof TopologyError) return `${setup.machine}: ${e.message}`;
    throw e;
  }
}

/** Devices of the second bus have groups too, behind those of the functions. Without an IOMMU nobody can be given such a device. */
function addVdpas(host: Host): void {
  if (!host.iommu.translates) return;
  for (const [index, name] of host.topology.vdpaDevices.entries()) {
    const group = newGroup(lowestFreeGroup(host), [name]);
    host.groups.set(group.id, group);
    host.vdpas.set(name, { name, index, group, vfio: undefined, cdevClaims: 0 });
  }
}

interface Description {
  readonly text: string;
  readonly profile: KernelProfile;
  readonly iommu: IommuKindTraits;
  readonly topology: Topology;
  readonly partition: readonly Group[];
}

/** The description read last. A host that recovers reads its own again; remembering it changes nothing but the time. */
let newest: Description | undefined;

function readDescription(text: string, profile: KernelProfile, iommu: IommuKindTraits): Description {
  if (newest?.text === text && newest.profile === profile && newest.iommu === iommu) return newest;
  const topology = importTopology(text);
  return (newest = { text, profile, iommu, topology, partition: partitionAtBoot(topology, profile, iommu) });
}

function partitionAtBoot(topology: Topology, profile: KernelProfile, iommu: IommuKindTraits): Group[] {
  if (!groupsAtProbe(profile, iommu)) {
    const scope = iommu.separatesStreams ? inStreamScope(topology) : inIommuScope(topology);
    return computeGroups(topology, { profile, scope });
  }
  return groupsInOrder(topology, metAtBoot(topology), { profile, scope: claimsOf(topology, iommu, []) });
}

/** Do functions of the host get their groups only when a driver first meets them? */
export const groupsAtProbe = (profile: KernelProfile, { namedByFirmware }: IommuKindTraits): boolean =>
  KERNEL_BUILDS[profile].groupsAtProbe && namedByFirmware === true;

/** Functions that a driver was offered at boot, in the recorded order, else by address. */
function metAtBoot({ functions, probeOrder }: Topology): string[] {
  const drivers = [...new DriverTable(functions, true).all()];
  const met = functions.filter((f) => f.iommuGroup !== null || drivers.some((driver) => matches(driver, f, undefined)));
  const rest = new Set(met.map(({ bdf }) => bdf));
  return [...probeOrder.filter((bdf) => rest.delete(bdf)), ...rest];
}

/** Which functions get groups, when they come one by one to the functions `served`. */
export const claimsOf = (
  topology: Topology,
  { separatesStreams }: IommuKindTraits,
  served: Iterable<string>,
): ((f: PciFunction) => boolean) => (separatesStreams ? streamClaims(topology, served) : inIommuScope(topology));

const unknown = (field: string, value: string, known: readonly string[]): string =>
  `${field} ${JSON.stringify(value.slice(0, 60))} is not known. Use one of: ${known.join(', ')}.`;

function groupsOf(computed: readonly Group[]): Map<number, IommuGroup> {
  return new Map(computed.map(({ id, devices }) => [id, newGroup(id, devices)]));
}

export const newGroup = (
  id: number,
  members: readonly string[],
  kind: 'iommu' | 'noiommu' | 'emulated' = 'iommu',
): IommuGroup => ({
  id,
  members,
  noiommu: kind === 'noiommu',
  emulated: kind === 'emulated',
  owner: { kind: 'none' },
  count: 0,
  lock: new Lock(),
});

function devicesOf(topology: Topology, groups: ReadonlyMap<number, IommuGroup>): Map<string, Device> {
  const groupOf = new Map<string, IommuGroup>();
  for (const group of groups.values()) for (const bdf of group.members) groupOf.set(bdf, group);
  return new Map(topology.functions.map((f) => [f.bdf, newDevice(f, groupOf.get(f.bdf))]));
}

export const newDevice = (facts: PciFunction, group: IommuGroup | undefined): Device => ({
  name: facts.bdf,
  bdf: facts.bdf,
  facts,
  group,
  driver: undefined,
  removing: false,
  override: undefined,
  resetMethods: undefined,
  vfio: undefined,
  cdevClaims: 0,
  vfs: facts.sriov ? { count: facts.sriov.numVfs, made: false, autoprobe: true } : undefined,
  lock: new Lock(),
  resetting: new Lock(),
});

/**
 * The driver that the boot found for a function: the recorded one, or pcieport for a port of unknown driver; none, where this
 * kernel has no pcieport.
 */
function bootDriver({ drivers }: Host, f: PciFunction): string | undefined {
  const name = f.driver ?? (isPciePort(f) ? PCIEPORT : undefined);
  return name === undefined ? undefined : drivers.get(name)?.name;
}

/** Binds every boot driver but vfio-pci, and answers the devices that are left for vfio-pci, in address order. */
export function bindBootDrivers(host: Host): Device[] {
  const forVfio: Device[] = [];
  for (const device of host.devices.values()) {
    const name = bootDriver(host, device.facts);
    if (name === VFIO_PCI) forVfio.push(device);
    else if (name !== undefined) {
      device.driver = name;
      if (!host.drivers.get(name)!.managesDma) takeAtBoot(device.group);
    }
  }
  return forVfio;
}

/** What a device's actor is told when vfio-pci probes it. Config space as recorded: empty when the source had none. */
export function factsOf(host: Host, device: Device, minor: number): FunctionFacts {
  const { setup, iommu, topology } = host;
  const { facts: f, group, resetMethods } = device;
  return {
    bdf: f.bdf,
    minor,
    vendor: f.vendor ?? 0xffff,
    device: f.device ?? 0xffff,
    classCode: f.classCode ?? 0,
    pcie: f.pcieType !== null,
    model: f.model ?? iommu.model ?? (translationCaps(f).pasidBits > 0 ? 'pasid-dma-engine' : ''),
    config: f.config ?? new Uint8Array(0),
    bars: f.bars.flatMap(({ index, kind, bits, prefetchable, size, vf }) =>
      vf || size === null || size === 0
        ? []
        : [{ index, size, io: kind === 'io', wide: bits === 64, prefetchable: prefetchable === true }],
    ),
    profile: setup.profile,
    busReset: isAloneOnBus(topology, f) && !topology.bridgeAbove(f)?.losesLink,
    msiTranslated: iommu.translatesMsi,
    sriov: f.sriov !== null,
    msixGrows: iommu.msixGrows,
    exportsBars: iommu.exportsBars,
    msiAddress: iommu.msiAddress,
    messages: iommu.messages ?? 'number',
    powerFixed: iommu.fixesPower === true && f.bus === 1,
    vf: f.isVf,
    noiommu: group?.noiommu,
    resetMethods: resetMethods && workingMethods(topology, f, resetMethods),
    zpci: iommu.zpci,
    freezes: iommu.freezes,
    atomicOps: atomicOps(topology, f),
    vga: isVga(host, f),
    igd: igdOf(host, f),
    wiring: wiringOf(topology, f),
  };
}

/** The only function below a bridge of its own, and one that comes back from a reset; a virtual bus has no bridge. */
export const isAloneOnBus = (topology: Topology, f: PciFunction): boolean =>
  topology.onBus(f).length === 1 && topology.bridgeAbove(f)?.buses?.secondary === f.bus && !diesOfBusReset(f);

/**
 * Could a reset of the bus reset it alone when it was found? Only functions that had been found before were on the bus then
 * (trace p001: the first of two can, the second cannot).
 */
export const wasAloneOnBus = (topology: Topology, f: PciFunction): boolean =>
  topology.onBus(f)[0]?.bdf === f.bdf && topology.bridgeAbove(f)?.buses?.secondary === f.bus && !diesOfBusReset(f);

/** Of ways to reset it, those that work now: others may have come to its bus. */
export const workingMethods = (topology: Topology, f: PciFunction, methods: readonly string[]): string[] =>
  methods.filter((method) => method !== 'bus' || (f.headerType === 0 && isAloneOnBus(topology, f)));

/** Path below /sys of a function's own directory, e.g. `devices/pci0000:00/0000:00:06.0/0000:01:00.0`. */
export function devicePath(topology: Topology, f: PciFunction): string {
  const domain = f.bdf.slice(0, f.bdf.indexOf(':'));
  const bus = topology.rootBusOf(f).toString(16).padStart(2, '0');
  const bridges = topology.bridgesAbove(f).map((bridge) => bridge.bdf);
  const host = topology.hostBridges.get(f.domain);
  const parents = host === undefined ? [] : [host];
  return ['devices', ...parents, `pci${domain}:${bus}`, ...bridges.reverse(), f.bdf].join('/');
}
