/**
 * The host's state as bytes: what `Core.encode` and `decode` write and read.
 *
 * Rule: the snapshot keeps the machine's description as it came and only what changed since boot; reading it back makes
 * the host from the description again. The meaning leaves out claims' numbers and counts: it says who owns, not how often.
 */
import type { ByteReader, ByteWriter, HostSetup } from '@vfiolab/core';
import { hostSetup } from '@vfiolab/core';
import type { PciId } from './drivers.js';
import { GroupFile } from './group-files.js';
import { type Device, type DmaOwner, hasIommu, type Host, type IommuGroup, UNUSED } from './host.js';
import { newGroup } from './host-topology.js';
import { MDEV_TYPES, type Mdev, newMdev } from './mdev.js';
import { addNoiommuGroup } from './noiommu.js';
import { decodeFunctions, encodeFunctions } from './state-functions.js';
import { VfioGroup } from './vfio-group.js';

const KIND = { none: 0, kernel: 1, context: 2, container: 3 } as const;

export const encodeSetup = (w: ByteWriter, setup: HostSetup): void => hostSetup.write(w, setup);
export const decodeSetup = (r: ByteReader): HostSetup => hostSetup.read(r);

/** Everything that can differ from boot, in address and number order. */
export function encodeHost(w: ByteWriter, host: Host): void {
  encodeFunctions(w, host);
  w.list(host.parameters.list(), (value) => w.num(value));
  w.bool(host.tainted);
  w.list(madeGroups(host), ({ id, members, emulated }) => {
    w.num(id);
    w.bool(emulated);
    w.str(members[0]!);
  });
  w.list(host.vfioGroups, ([, group]) => writeVfioGroup(w, group));
  w.list(host.mdevs, ([, mdev]) => {
    writeMdev(w, mdev);
    w.num(mdev.vfio!.group.minor);
    w.num(mdev.cdevClaims);
    w.list(mdev.vfio!.uses, (counted) => w.bool(counted));
    w.num(mdev.vfio!.vm);
  });
  for (const { name, dynamicIds } of host.drivers.all()) {
    w.str(name);
    w.list(dynamicIds, (id) => writeId(w, id));
  }
  for (const device of host.devices.values()) {
    writeBinding(w, device);
    w.num(device.vfio?.group.minor ?? 0);
    w.list(device.vfio?.uses ?? [], (counted) => w.bool(counted));
    w.num(device.vfio?.vm ?? 0);
    w.bytes(device.vfio?.token ?? NO_TOKEN);
    w.num(device.cdevClaims);
  }
  for (const { cdevClaims } of host.vdpas.values()) w.num(cdevClaims);
  w.list(host.lingering, (name) => w.str(name));
  writeModes(w, host);
  w.list(host.groups, ([id, { owner, count }]) => {
    w.num(id);
    w.u8(KIND[owner.kind]);
    w.num(numberOf(owner));
    w.num(count);
  });
}

const NO_TOKEN = new Uint8Array(0);

/** Groups that the description does not give. */
const madeGroups = (host: Host): IommuGroup[] => [...host.groups.values()].filter((group) => !hasIommu(group));

const numberOf = (owner: DmaOwner): number =>
  owner.kind === 'context' ? owner.context : owner.kind === 'container' ? owner.container : 0;

/** Into a host that was just built from the same description. */
export function decodeHost(r: ByteReader, host: Host): void {
  decodeFunctions(r, host);
  host.parameters.restore(r.list(() => r.num()));
  host.tainted = r.bool();
  r.list(() => {
    const [id, emulated, member] = [r.num(), r.bool(), r.str()];
    if (emulated) host.groups.set(id, newGroup(id, [member], 'emulated'));
    else addNoiommuGroup(host, host.devices.get(member)!, id);
  });
  for (const group of r.list(() => readVfioGroup(r, host))) host.vfioGroups.set(group.minor, group);
  for (const mdev of r.list(() => readMdev(r, host))) host.mdevs.set(mdev.name, mdev);
  for (const driver of host.drivers.all()) {
    r.str();
    driver.dynamicIds = r.list(() => readId(r));
  }
  for (const device of host.devices.values()) {
    readBinding(r, host, device);
    device.cdevClaims = r.num();
  }
  for (const vdpa of host.vdpas.values()) vdpa.cdevClaims = r.num();
  r.list(() => host.lingering.add(r.str()));
  r.list(() => host.modes.set(r.str(), r.u32()));
  readOwners(r, host);
}

/** Groups made for virtual functions, and for what has no IOMMU, came in any order; it is kept. */
function readOwners(r: ByteReader, { groups }: Host): void {
  const inOrder = r.list(() => {
    const group = groups.get(r.num())!;
    readOwner(r, group);
    return group;
  });
  groups.clear();
  for (const group of inOrder) groups.set(group.id, group);
}

/** What a client could tell apart: groups and owners, drivers with their added ids, nodes. */
export function encodeMeaning(w: ByteWriter, host: Host): void {
  encodeSetup(w, host.setup);
  w.list(host.parameters.list(), (value) => w.num(value));
  w.bool(host.tainted);
  for (const { name, dynamicIds } of host.drivers.all()) {
    w.str(name);
    w.list(dynamicIds, (id) => writeId(w, id));
  }
  w.list(host.devices, ([bdf, device]) => {
    w.str(bdf);
    writeBinding(w, device);
    w.bytes(device.vfio?.token ?? NO_TOKEN);
    w.u32(device.vfs?.count ?? 0);
    w.bool(device.vfs?.autoprobe ?? true);
  });
  w.list([...host.removed.keys()].sort(), (bdf) => w.str(bdf));
  w.list([...host.linksDown.keys()].sort(), (bdf) => w.str(bdf));
  w.list(host.mdevs, ([, mdev]) => writeMdev(w, mdev));
  writeModes(w, host);
  w.list(host.groups, ([, group]) => {
    w.u32(group.id);
    w.list(group.members, (bdf) => w.str(bdf));
    w.u8(KIND[group.owner.kind]);
  });
  w.list(host.vfioGroups, ([, { alive, iommuGroup, file, backing, users }]) => {
    w.u32(iommuGroup.id);
    w.bool(alive);
    w.bool(file !== undefined);
    w.u8(BACKINGS.indexOf(backing.kind));
    w.num(users);
  });
}

const BACKINGS = ['none', 'container', 'iommufd'] as const;

function writeVfioGroup(w: ByteWriter, group: VfioGroup): void {
  const { minor, iommuGroup, alive, file, backing, users } = group;
  w.num(minor);
  w.num(iommuGroup.id);
  w.bool(iommuGroup.noiommu);
  w.bool(iommuGroup.emulated);
  w.bool(alive);
  w.bool(file !== undefined);
  if (file) {
    w.num(file.id);
    w.bool(file.closed);
    w.num(file.holders);
  }
  w.u8(BACKINGS.indexOf(backing.kind));
  w.num(backing.kind === 'container' ? backing.container : backing.kind === 'iommufd' ? backing.context : 0);
  w.num(users);
  w.num(group.vm);
}

function readVfioGroup(r: ByteReader, host: Host): VfioGroup {
  const [minor, id, noiommu, emulated, alive] = [r.num(), r.num(), r.bool(), r.bool(), r.bool()];
  // What a dead group was made for may be gone (a VF, a device without an IOMMU), and its number be another's by now.
  const kind = noiommu ? 'noiommu' : emulated ? 'emulated' : 'iommu';
  const iommuGroup = alive ? host.groups.get(id)! : newGroup(id, [], kind);
  const group = new VfioGroup(minor, iommuGroup);
  group.alive = alive;
  if (r.bool()) {
    group.file = new GroupFile(r.num(), group);
    group.file.closed = r.bool();
    group.file.holders = r.num();
  }
  const backing = BACKINGS[r.u8()];
  const number = r.num();
  const users = r.num();
  group.vm = r.num();
  if (backing === 'container') group.backing = { kind: backing, container: number, users };
  else if (backing === 'iommufd') group.backing = { kind: backing, context: number };
  return group;
}

function writeMdev(w: ByteWriter, { name, type, group, vfio }: Mdev): void {
  w.str(name);
  w.u8(type.ports);
  w.num(group!.id);
  w.num(vfio!.minor);
}

function readMdev(r: ByteReader, host: Host): Mdev {
  const [name, ports, group, minor] = [r.str(), r.u8(), host.groups.get(r.num())!, r.num()];
  const mdev = newMdev(
    name,
    MDEV_TYPES.find((type) => type.ports === ports)!,
    group,
  );
  mdev.vfio = { minor, visible: true, group: host.vfioGroups.get(r.num())!, ...UNUSED };
  mdev.cdevClaims = r.num();
  mdev.vfio.uses = r.list(() => r.bool());
  mdev.vfio.vm = r.num();
  return mdev;
}

const byPath = ([a]: [string, number], [b]: [string, number]): number => (a < b ? -1 : 1);

const writeModes = (w: ByteWriter, { modes }: Host): void =>
  w.list([...modes].sort(byPath), ([path, mode]) => (w.str(path), w.u32(mode)));

function writeBinding(w: ByteWriter, { driver, override, vfio, resetMethods }: Device): void {
  w.str(driver ?? '');
  w.str(override ?? '');
  w.str(resetMethods === undefined ? ALL_METHODS : resetMethods.join(' '));
  w.num(vfio ? vfio.minor + 1 : 0);
}

/** No list of methods looks like this. */
const ALL_METHODS = '*';

function readBinding(r: ByteReader, { vfioGroups }: Host, device: Device): void {
  device.driver = r.str() || undefined;
  device.override = r.str() || undefined;
  const methods = r.str();
  device.resetMethods = methods === ALL_METHODS ? undefined : methods.split(' ').filter((name) => name !== '');
  const node = r.num();
  const group = vfioGroups.get(r.num());
  const uses = r.list(() => r.bool());
  const vm = r.num();
  const token = r.bytes();
  if (node > 0)
    device.vfio = {
      minor: node - 1,
      visible: true,
      group: group!,
      uses,
      vm,
      token: token.length > 0 ? token.slice() : undefined,
    };
}

function readOwner(r: ByteReader, group: IommuGroup): void {
  const kind = r.u8();
  const number = r.num();
  if (kind === KIND.context) group.owner = { kind: 'context', context: number };
  else if (kind === KIND.container) group.owner = { kind: 'container', container: number };
  else group.owner = { kind: kind === KIND.kernel ? 'kernel' : 'none' };
  group.count = r.num();
}

const ID_FIELDS = ['vendor', 'device', 'subvendor', 'subdevice', 'class', 'classMask'] as const;

function writeId(w: ByteWriter, id: PciId): void {
  for (const field of ID_FIELDS) w.u32(id[field]);
}

function readId(r: ByteReader): PciId {
  const [vendor, device, subvendor, subdevice, classCode, classMask] = ID_FIELDS.map(() => r.u32()) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  return { vendor, device, subvendor, subdevice, class: classCode, classMask };
}
