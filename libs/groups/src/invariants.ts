/**
 * What must hold of a host whenever no operation is in flight, what clients hold of it, and the host in words.
 *
 * Rule: owners and counts are recomputed from the bound drivers and compared; nothing here trusts a counter.
 */
import { type Device, type DmaOwner, hasIommu, type Host, type IommuGroup, passables } from './host.js';
import { VFIO_PCI } from './drivers.js';
import { type Mdev, portsLeft } from './mdev.js';
import type { Vdpa } from './vdpa.js';
import { devicesOf, type VfioGroup } from './vfio-group.js';
import { pfOf } from './virtual-functions.js';

/** Broken invariants in words: I12, I13, the part of I14 that is seen from here, nodes. */
export function brokenInvariants(host: Host): string[] {
  const ordinary = ordinaryDriversByGroup(host);
  return [
    ...[...host.groups.values()].flatMap((group) => brokenOwnership(group, ordinary.get(group.id) ?? 0)),
    ...[...host.devices.values()].flatMap(brokenDevice),
    ...brokenVfs(host),
    ...[...host.mdevs.values()].flatMap(brokenMdev),
    ...(portsLeft(host) < 0 ? ['mdev: more ports are given out than there are'] : []),
    ...sharedMinors(host),
    ...[...host.vfioGroups.values()].flatMap((group) => brokenVfioGroup(host, group)),
  ];
}

/** How many members of each group are bound to a driver that takes DMA ownership. */
function ordinaryDriversByGroup(host: Host): Map<number, number> {
  const bound = new Map<number, number>();
  for (const { driver, group } of host.devices.values()) {
    if (driver === undefined || !group || host.drivers.get(driver)?.managesDma) continue;
    bound.set(group.id, (bound.get(group.id) ?? 0) + 1);
  }
  return bound;
}

function brokenOwnership({ id, owner, count }: IommuGroup, ordinary: number): string[] {
  const broken: string[] = [];
  if ((owner.kind === 'none') !== (count === 0))
    broken.push(`I12: group ${id} has owner ${ownerText(owner)} and count ${count}`);
  const byUser = owner.kind === 'context' || owner.kind === 'container';
  if (byUser && ordinary > 0)
    broken.push(`I13: group ${id} is owned by ${ownerText(owner)} with ${ordinary} ordinary drivers bound`);
  if (!byUser && count !== ordinary)
    broken.push(`I13: group ${id} counts ${count} ordinary drivers, but ${ordinary} are bound`);
  return broken;
}

function brokenDevice({ bdf, driver, removing, vfio, cdevClaims, group }: Device): string[] {
  const broken: string[] = [];
  if ((driver === VFIO_PCI) !== (vfio !== undefined)) broken.push(`${bdf}: bound to ${driver}, cdev ${vfio?.minor}`);
  if (removing || vfio?.visible === false) broken.push(`${bdf}: a probe or remove never ended`);
  if (cdevClaims < 0 || (cdevClaims > 0 && !vfio)) broken.push(`I16: ${bdf} has ${cdevClaims} cdev claims`);
  if (vfio && !group) broken.push(`${bdf}: bound to ${VFIO_PCI} without a group`);
  return broken;
}

function brokenMdev({ name, vfio, group, removing, cdevClaims }: Mdev): string[] {
  if (removing || !vfio?.visible) return [`mdev ${name}: a create or remove never ended`];
  if (cdevClaims < 0) return [`I16: mdev ${name} has ${cdevClaims} cdev claims`];
  return group?.emulated ? [] : [`mdev ${name}: it has no group of its own`];
}

/** I14 and A3.1: a node for a group with devices only; the owner of a group in a container is that container. */
function brokenVfioGroup(host: Host, group: VfioGroup): string[] {
  const { minor, alive, iommuGroup, file, backing, users } = group;
  const broken: string[] = [];
  const has = devicesOf(host, group).length > 0;
  if (alive !== has) broken.push(`A3.1: vfio group ${minor} ${has ? 'is dead with' : 'lives without'} devices`);
  if (!alive && !file) broken.push(`A3.1: vfio group ${minor} is dead and nobody has it open`);
  // Of 2010: the group is in a domain because of devices that are open.
  const in2010 = host.setup.teaching !== undefined && devicesOf(host, group).some(({ cdevClaims }) => cdevClaims > 0);
  if (!file && backing.kind !== 'none' && !in2010)
    broken.push(`A3.5: vfio group ${minor} is in a container and nobody has it open`);
  if (file?.closed && users === 0 && file.holders === 0)
    broken.push(`A3.5: vfio group ${minor} is open and nobody keeps it so`);
  const { owner } = iommuGroup;
  if (backing.kind === 'container' && hasIommu(iommuGroup))
    if (owner.kind !== 'container' || owner.container !== backing.container)
      broken.push(`I14: group ${iommuGroup.id} is in container ${backing.container}, its owner is ${ownerText(owner)}`);
  return broken;
}

/** I47: VFs are exactly those that their PFs have enabled, but for those that were taken off the bus one by one. */
function brokenVfs(host: Host): string[] {
  const broken: string[] = [];
  const expected = new Map<string, number>();
  for (const device of host.devices.values()) {
    const pf = pfOf(host, device);
    if (pf) expected.set(pf.bdf, (expected.get(pf.bdf) ?? 0) + 1);
  }
  for (const { vfOf } of host.removed.values()) if (vfOf !== null) expected.set(vfOf, (expected.get(vfOf) ?? 0) + 1);
  for (const { bdf, vfs } of host.devices.values())
    if (vfs?.made && vfs.count !== (expected.get(bdf) ?? 0))
      broken.push(`I47: ${bdf} has ${vfs.count} VFs enabled, and ${expected.get(bdf) ?? 0} are there`);
  return broken;
}

function sharedMinors(host: Host): string[] {
  const holder = new Map<number, string>();
  const broken: string[] = [];
  for (const { name, vfio } of passables(host)) {
    if (!vfio) continue;
    const other = holder.get(vfio.minor);
    if (other !== undefined) broken.push(`${other} and ${name} share vfio${vfio.minor}`);
    holder.set(vfio.minor, name);
  }
  return broken;
}

function ownerText(owner: DmaOwner): string {
  if (owner.kind === 'context') return `iommufd context ${owner.context}`;
  return owner.kind === 'container' ? `container ${owner.container}` : owner.kind;
}

/** What clients hold here: groups owned by users, their claims, cdevs with a BIND, and what devices left behind. All 0 when no client is left. */
export function figuresOf(host: Host | undefined): Record<string, number> {
  const owned = [...(host?.groups.values() ?? [])].filter(
    ({ owner }) => owner.kind === 'context' || owner.kind === 'container',
  );
  const claims = owned.reduce((sum, { count }) => sum + count, 0);
  const cdevClaims = (host ? [...passables(host)] : []).reduce((sum, device) => sum + device.cdevClaims, 0);
  return { ownedGroups: owned.length, claims, cdevClaims, lingering: host?.lingering.size ?? 0 };
}

/** One line for the host, one a group, one a device. */
export function describeHost(host: Host): string[] {
  const { machine, profile, iommu } = host.setup;
  const lines = [
    `host ${machine}: kernel ${profile}, iommu ${iommu}, ${host.devices.size} functions, ${host.groups.size} groups`,
    ...(host.tainted ? ['tainted: a device was given out without an IOMMU'] : []),
  ];
  for (const group of host.groups.values()) {
    lines.push(`group ${group.id}: owner ${ownerText(group.owner)} (${group.count})`);
    for (const name of group.members) {
      const device = host.devices.get(name);
      const mdev = host.mdevs.get(name);
      lines.push(
        `  ${device ? describeDevice(device) : mdev ? describeMdev(mdev) : describeVdpa(host.vdpas.get(name)!)}`,
      );
    }
  }
  if (host.linksDown.size > 0) lines.push(`links down: ${[...host.linksDown.keys()].join(', ')}`);
  if (host.removed.size > 0) lines.push(`removed: ${[...host.removed.keys()].join(', ')}`);
  for (const device of host.devices.values()) if (!device.group) lines.push(`no group: ${describeDevice(device)}`);
  return lines;
}

const describeVdpa = ({ name, cdevClaims }: Vdpa): string =>
  [`vdpa ${name}`, ...(cdevClaims > 0 ? [`${cdevClaims} bound`] : [])].join(', ');

const describeMdev = ({ name, type, vfio, cdevClaims }: Mdev): string =>
  [`mdev ${name}`, type.name, `vfio${vfio?.minor}`, ...(cdevClaims > 0 ? [`${cdevClaims} bound cdev`] : [])].join(', ');

function describeDevice({ bdf, driver, override, vfio, cdevClaims, removing }: Device): string {
  const parts = [bdf, driver ?? 'no driver'];
  if (vfio) parts.push(`vfio${vfio.minor}`);
  if (cdevClaims > 0) parts.push(`${cdevClaims} bound cdev`);
  if (override !== undefined) parts.push(`driver_override ${override}`);
  if (removing) parts.push('being removed: waits until its users close');
  return parts.join(', ');
}
