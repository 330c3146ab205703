/**
 * Mediated devices: made and removed by writes to sysfs. [drivers/vfio/mdev; the parent is the kernel's sample, mtty]
 *
 * Words: a *parent* is the device whose driver makes them, a *type* what it can make; mtty's two types are PCI cards with one
 * or two serial ports, and the ports of all of its devices come out of one store.
 * The lab adds a type of its own where it is asked to: a card that reaches its user's memory.
 * Rule: a UUID is taken from the beginning of its create to the end of its remove, and so are its ports (trace b095). Every
 * device has an IOMMU group of its own, with no IOMMU behind it (trace b096).
 */
import { call, deviceAddress, deviceApi, type Op } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import {
  type Host,
  type IommuGroup,
  lowestFreeGroup,
  lowestFreeMinor,
  type Passable,
  UNUSED,
  type VfioPart,
} from './host.js';
import { newGroup } from './host-topology.js';
import { forgetCdev } from './node-modes.js';
import { groupFor, leaveGroup } from './vfio-group.js';

export interface MdevType {
  readonly name: string;
  /** For people. */
  readonly title: string;
  readonly ports: number;
}

const MEMORY_CARD: MdevType = { name: 'mtty-memory', title: 'Memory card', ports: 0 };
export const MDEV_TYPES: readonly MdevType[] = [
  { name: 'mtty-1', title: 'Single port serial', ports: 1 },
  { name: 'mtty-2', title: 'Dual port serial', ports: 2 },
  MEMORY_CARD,
];

/** Those that the host has. */
export const typesOf = ({ setup }: Host): readonly MdevType[] =>
  MDEV_TYPES.filter((type) => type !== MEMORY_CARD || setup.memoryCards);

/** Serial ports that the parent has for all of its devices. */
export const MAX_PORTS = 24;
const MAX_MEMORY_CARDS = 24;

export interface Mdev extends Passable {
  readonly type: MdevType;
  /** A remove is under way: nothing shows the device any more, but its UUID and ports are still taken. */
  removing: boolean;
}

export const newMdev = (name: string, type: MdevType, group: IommuGroup): Mdev => ({
  name,
  type,
  group,
  removing: false,
  vfio: undefined,
  cdevClaims: 0,
});

export const portsLeft = ({ mdevs }: Host): number =>
  [...mdevs.values()].reduce((left, { type }) => left - type.ports, MAX_PORTS);

/** Devices of a type that can still be made. */
export const instancesLeft = (host: Host, type: MdevType): number =>
  type === MEMORY_CARD
    ? MAX_MEMORY_CARDS - [...host.mdevs.values()].filter((mdev) => mdev.type === type).length
    : Math.floor(portsLeft(host) / type.ports);

export const isShown = ({ vfio, removing }: Mdev): boolean => !removing && vfio?.visible === true;

/** A UUID, and at most one byte behind it, whichever that is. */
const UUID = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})[^]?$/i;

/** A type's `create`. EINVAL: no UUID; EEXIST: it is taken; ENOSPC: not enough ports, or cards. */
export function* createMdev(host: Host, type: MdevType, data: string): Op<Result<undefined>> {
  const uuid = UUID.exec(data)?.[1]?.toLowerCase();
  if (uuid === undefined) return fail('EINVAL');
  if (host.mdevs.has(uuid)) return fail('EEXIST');
  if (instancesLeft(host, type) < 1) return fail('ENOSPC');
  const iommuGroup = newGroup(lowestFreeGroup(host), [uuid], 'emulated');
  host.groups.set(iommuGroup.id, iommuGroup);
  const mdev = newMdev(uuid, type, iommuGroup);
  const vfio: VfioPart = {
    minor: lowestFreeMinor(host),
    visible: false,
    group: groupFor(host, iommuGroup),
    ...UNUSED,
  };
  mdev.vfio = vfio;
  host.mdevs.set(uuid, mdev);
  const facts = { uuid, minor: vfio.minor, ports: type.ports, profile: host.profile };
  const ready = yield* call(deviceAddress(uuid), deviceApi.probeMdev, facts);
  if (ready.ok) {
    vfio.visible = true;
    return ok(undefined);
  }
  yield* leaveGroup(host, mdev);
  host.mdevs.delete(uuid);
  return ready;
}

/** A device's `remove`: nothing for 0; else waits until nobody has the device open. EINVAL: no number. */
export function* removeMdev(host: Host, mdev: Mdev, data: string): Op<Result<undefined>> {
  const value = readUnsigned(data);
  if (value === undefined) return fail('EINVAL');
  if (value === 0n || mdev.removing) return ok(undefined);
  mdev.removing = true;
  mdev.vfio!.visible = false;
  forgetCdev(host, mdev);
  yield* call(deviceAddress(mdev.name), deviceApi.remove, undefined);
  yield* leaveGroup(host, mdev);
  host.mdevs.delete(mdev.name);
  return ok(undefined);
}

const U64_MAX = (1n << 64n) - 1n;

/** As the kernel reads an unsigned long of any base; a newline may follow. */
function readUnsigned(data: string): bigint | undefined {
  const [, hex, octal, decimal] = /^\+?(?:(0x[0-9a-f]+)|0([0-7]*)|([1-9][0-9]*))\n?$/i.exec(data) ?? [];
  const digits = hex ?? (octal === undefined ? decimal : `0o${octal || '0'}`);
  if (digits === undefined) return undefined;
  const value = BigInt(digits);
  return value > U64_MAX ? undefined : value;
}
