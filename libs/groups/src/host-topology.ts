/**
 * From a machine's description to a host as it stands after boot, before vfio-pci is bound to anything.
 *
 * Rule: a description or a setup that cannot be used answers text for people and makes nothing.
 */
import { Lock, type FunctionFacts, type HostSetup } from '@vfiolab/core';
import {
  atomicOps,
  computeGroups,
  diesOfBusReset,
  partitionableEndpoints,
  importTopology,
  inIommuScope,
  inStreamScope,
  TopologyError,
  translationCaps,
  type Group,
  type KernelProfile,
  type PciFunction,
  type Topology,
} from '@vfiolab/pci';
import { DriverTable, isPciePort, PCIEPORT, VFIO_PCI } from './drivers.js';
import { igdOf, isVga } from './graphics.js';
import type { Device, Host, IommuGroup } from './host.js';
import { IOMMU_KINDS } from './iommu-kinds.js';
import { hasGroupNodes } from './kernel-build.js';
import type { Mdev } from './mdev.js';
import { ModuleParameters } from './module-parameters.js';
import { takeAtBoot } from './ownership.js';
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
    const { topology, partition } = readDescription(text, profile, iommu.separatesStreams === true);
    const parts = iommu.endpoints ? partitionableEndpoints(topology, iommu.endpoints) : partition;
    const groups = iommu.translates ? groupsOf(parts) : new Map<number, IommuGroup>();
    const devices = devicesOf(topology, groups);
    const fixed = { setup, profile, iommu, topology, memoryMap: topology.memoryMaps.get(profile) };
    const drivers = new DriverTable(topology.functions);
    const parameters = new ModuleParameters(setup);
    const vfioGroups = new Map<number, VfioGroup>();
    const empty = { mdevs: new Map<string, Mdev>(), lingering: new Set<string>(), modes: new Map<string, number>() };
    const rest = { drivers, parameters, vfioGroups, tainted: false, rescan: new Lock() };
    return { ...fixed, ...empty, ...rest, devices, groups };
  } catch (e) {
    if (e instanceof TopologyError) return `${setup.machine}: ${e.message}`;
    throw e;
  }
}

/** Which functions get groups; `streams`: the IOMMU tells them apart by stream. */
export const scopeOf = (topology: Topology, streams: boolean): ((f: PciFunction) => boolean) =>
  streams ? inStreamScope(topology) : inIommuScope(topology);

interface Description {
  readonly text: string;
  readonly profile: KernelProfile;
  readonly streams: boolean;
  readonly topology: Topology;
  readonly partition: readonly Group[];
}

/** The description read last. A host that recovers reads its own again; remembering it changes nothing but the time. */
let newest: Description | undefined;

function readDescription(text: string, profile: KernelProfile, streams: boolean): Description {
  if (newest?.text === text && newest.profile === profile && newest.streams === streams) return newest;
  const topology = importTopology(text);
  const scope = scopeOf(topology, streams);
  return (newest = { text, profile, streams, topology, partition: computeGroups(topology, { profile, scope }) });
}

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
  vfio: undefined,
  cdevClaims: 0,
  vfs: facts.sriov ? { count: facts.sriov.numVfs, made: false, autoprobe: true } : undefined,
  lock: new Lock(),
  resetting: new Lock(),
});

/** The driver that the boot found for a function: the recorded one, or pcieport for a port of unknown driver. */
const bootDriver = (f: PciFunction): string | undefined => f.driver ?? (isPciePort(f) ? PCIEPORT : undefined);

/** Binds every boot driver but vfio-pci, and answers the devices that are left for vfio-pci, in address order. */
export function bindBootDrivers(host: Host): Device[] {
  const forVfio: Device[] = [];
  for (const device of host.devices.values()) {
    const name = bootDriver(device.facts);
    if (name === VFIO_PCI) forVfio.push(device);
    else if (name !== undefined) {
      device.driver = name;
      if (!host.drivers.get(name)!.managesDma) takeAtBoot(device.group);
    }
  }
  return forVfio;
}

/** What a device's actor is told when vfio-pci probes it. Config space as recorded: empty when the source had none. */
export function factsOf(host: Host, { facts: f }: Device, minor: number): FunctionFacts {
  const { setup, iommu, topology } = host;
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
    vf: f.isVf,
    atomicOps: atomicOps(topology, f),
    vga: isVga(host, f),
    igd: igdOf(host, f),
  };
}

/** The only function below a bridge of its own, and one that comes back from a reset; a virtual bus has no bridge. */
export const isAloneOnBus = (topology: Topology, f: PciFunction): boolean =>
  topology.onBus(f).length === 1 && topology.bridgeAbove(f)?.buses?.secondary === f.bus && !diesOfBusReset(f);

/** Path below /sys of a function's own directory, e.g. `devices/pci0000:00/0000:00:06.0/0000:01:00.0`. */
export function devicePath(topology: Topology, f: PciFunction): string {
  const domain = f.bdf.slice(0, f.bdf.indexOf(':'));
  const bus = topology.rootBusOf(f).toString(16).padStart(2, '0');
  const bridges = topology.bridgesAbove(f).map((bridge) => bridge.bdf);
  const host = topology.hostBridges.get(f.domain);
  const parents = host === undefined ? [] : [host];
  return ['devices', ...parents, `pci${domain}:${bus}`, ...bridges.reverse(), f.bdf].join('/');
}
