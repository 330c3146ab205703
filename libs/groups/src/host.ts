/**
 * The host as this service holds it: functions with their drivers, groups with their DMA owners.
 *
 * Words: a *device* is a PCI function on this host; its *vfio* part exists while vfio-pci is bound (a *minor* N is the
 * N of vfioN); a group's *owner* is who may let its members do DMA.
 * Rule: `lock` of a device is the kernel's device lock (probe, remove, driver_override), `lock` of a group is its group
 * mutex (owner and count). A device lock is taken before a group lock, never after.
 */
import { Lock, type HostSetup } from '@vfiolab/core';
import type { KernelProfile, PciFunction, Topology } from '@vfiolab/pci';
import type { DriverTable } from './drivers.js';
import type { Vm } from './kvm/vm.js';
import type { Mdev } from './mdev.js';
import type { Vdpa } from './vdpa.js';
import type { VfioGroup } from './vfio-group.js';
import type { ModuleParameters } from './module-parameters.js';
import type { IommuKindTraits } from './iommu-kinds.js';
import type { NodeModes } from './node-modes.js';

/** `context` is the number that iommufd gave one open /dev/iommu, `container` that of an open /dev/vfio/vfio. */
export type DmaOwner =
  | { readonly kind: 'none' }
  | { readonly kind: 'kernel' }
  | { readonly kind: 'context'; readonly context: number }
  | { readonly kind: 'container'; readonly container: number };

export interface IommuGroup {
  readonly id: number;
  /** BDFs in address order. */
  members: readonly string[];
  /** Made for a device without an IOMMU when vfio-pci was bound to it (semantics A4.1). */
  readonly noiommu: boolean;
  /** Made for a mediated device, which reaches memory through its driver only. */
  readonly emulated: boolean;
  owner: DmaOwner;
  /** Ordinary drivers bound, or claims of the owning context; 0 exactly when there is no owner (I12). */
  count: number;
  readonly lock: Lock;
}

export interface VfioPart {
  readonly minor: number;
  /** The cdev node exists: false while vfio-pci probes, and from the beginning of an unbind on. */
  visible: boolean;
  readonly group: VfioGroup;
  /**
   * Opens through its group that have not been taken back, oldest first: a last close may be heard of after the next first
   * open. Each tells whether the group's container counts it as a user.
   */
  uses: readonly boolean[];
  /** The VM that it keeps while it is open; 0: none. */
  vm: number;
  /** Of a PF: what it and its VFs are opened with; undefined: nobody knows it (semantics A3.7). */
  token: Uint8Array | undefined;
}

/** What nobody has opened yet. */
export const UNUSED = { uses: [], vm: 0, token: undefined };

/** SR-IOV of a PF. */
export interface VirtualFunctions {
  /** VFs that are enabled. */
  count: number;
  /** They were switched on here, and not by whoever made the machine's description. */
  made: boolean;
  /** Drivers are offered new VFs. */
  autoprobe: boolean;
}

/** What programs are given: a PCI function, a mediated device, or a device of the vDPA bus. */
export interface Passable {
  /** A function's BDF, a mediated device's UUID, or a name. */
  readonly name: string;
  /** Absent: outside IOMMU scope. Without an IOMMU it has one while a vfio driver is bound to it. */
  group: IommuGroup | undefined;
  vfio: VfioPart | undefined;
  /** Opened cdevs that were granted a BIND (A3.2); a group node must not be opened while any is. */
  cdevClaims: number;
}

export interface Device extends Passable {
  readonly bdf: string;
  readonly facts: PciFunction;
  driver: string | undefined;
  /** A remove is under way: the driver still holds the device, but its links in sysfs are gone already. */
  removing: boolean;
  override: string | undefined;
  /** Ways to reset it that somebody chose; undefined: all that it has. */
  resetMethods: readonly string[] | undefined;
  /** Undefined: the function is no PF. */
  readonly vfs: VirtualFunctions | undefined;
  readonly lock: Lock;
  /** Of a bridge: hot resets of what is below it, one at a time. Taken before any device's lock. */
  readonly resetting: Lock;
}

/** A port's link to what is below it, while it is down. */
export interface DownLink {
  /** What was below it when it went down: BDFs, in address order. */
  readonly members: readonly string[];
  /** The kernel takes the members away, and finds them again. */
  readonly hotPlug: boolean;
  /** They are gone. */
  taken: boolean;
}

export interface Host {
  readonly setup: HostSetup;
  readonly iommu: IommuKindTraits;
  topology: Topology;
  /** By BDF, in address order. Another map whenever functions come or go. */
  devices: ReadonlyMap<string, Device>;
  /** By UUID, in the order in which they were made. */
  readonly mdevs: Map<string, Mdev>;
  /** By name, in the order of the description. */
  readonly vdpas: Map<string, Vdpa>;
  /** Names of devices without a driver that have made files which are still open. */
  readonly lingering: Set<string>;
  /** By number. */
  readonly groups: Map<number, IommuGroup>;
  readonly drivers: DriverTable;
  readonly parameters: ModuleParameters;
  /** A device was given out without an IOMMU: nobody can trust this kernel any more (semantics A4.1). */
  tainted: boolean;
  /** By minor: those with devices, and dead ones that somebody has open. */
  readonly vfioGroups: Map<number, VfioGroup>;
  /** By number, in the order in which they were made. */
  readonly vms: Map<number, Vm>;
  readonly profile: KernelProfile;
  /** Lines of /proc/iomem, where the description has them for this release. */
  readonly memoryMap: readonly string[] | undefined;
  readonly modes: NodeModes;
  /** Groups by BDF as the description gives them. */
  readonly bootGroups: ReadonlyMap<string, number>;
  /** Functions that were taken off the bus, by BDF: VFs, and what a rescan finds again. */
  readonly removed: Map<string, PciFunction>;
  /** Links that are down, by the port's BDF. */
  readonly linksDown: Map<string, DownLink>;
  /** Held while functions come or go, as the kernel's rescan lock. Taken after the lock of a PF, before that of a VF. */
  readonly rescan: Lock;
}

const SMALLEST_PAGE_SHIFT = 12;
export const pageShiftOf = ({ setup }: Host): number => setup.pageShift ?? SMALLEST_PAGE_SHIFT;

/** Functions that do not answer a scan. */
export const behindDownLinks = ({ linksDown }: Host): ReadonlySet<string> =>
  new Set([...linksDown.values()].flatMap(({ members }) => members));

/** False: the function went while somebody waited for it. */
export const isHere = ({ devices }: Host, device: Device): boolean => devices.get(device.bdf) === device;

/** The driver that sysfs links to. */
export const linkedDriver = (device: Device): string | undefined => (device.removing ? undefined : device.driver);

/** Everything that is given out to programs. */
export function* passables({ devices, mdevs, vdpas }: Host): Generator<Passable> {
  yield* devices.values();
  yield* mdevs.values();
  yield* vdpas.values();
}

export const passableNamed = ({ devices, mdevs, vdpas }: Host, name: string): Passable | undefined =>
  devices.get(name) ?? mdevs.get(name) ?? vdpas.get(name);

/** Is there an IOMMU between the group's devices and memory? */
export const hasIommu = ({ noiommu, emulated }: IommuGroup): boolean => !noiommu && !emulated;

/** The device whose cdev node is vfioN. */
export function deviceOfMinor(host: Host, minor: number): Passable | undefined {
  for (const device of passables(host)) if (device.vfio?.visible && device.vfio.minor === minor) return device;
  return undefined;
}

/** The lowest number that no group has, as the kernel's id allocator gives it. */
export function lowestFreeGroup({ groups }: Host): number {
  let id = 0;
  while (groups.has(id)) id++;
  return id;
}

/** The lowest minor that no device has, as the kernel's id allocator gives it. */
export function lowestFreeMinor(host: Host): number {
  const taken = new Set<number>();
  for (const { vfio } of passables(host)) if (vfio) taken.add(vfio.minor);
  let minor = 0;
  while (taken.has(minor)) minor++;
  return minor;
}
