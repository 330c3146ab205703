/**
 * Who is in which group: functions that come to their IOMMU while the host runs, and that leave it. [iommu.c]
 *
 * Rule: a function joins its group the moment that the group is chosen, so that no other can be given the same number; the IOMMU
 * hears of it before a driver has the function.
 */
import { call, IOMMU, iommuApi, type Op } from '@vfiolab/core';
import { GroupTable, type Topology } from '@vfiolab/pci';
import { endpointsOf } from './endpoints.js';
import { claimsOf, newGroup } from './host-topology.js';
import { type Device, hasIommu, type Host, type IommuGroup } from './host.js';

/** Groups for functions of `topology` that come one after the other to those that the host has; some may get none. */
export function groupsFor(host: Host, topology: Topology, comers: readonly string[]): Map<string, number> {
  if (!host.iommu.translates) return new Map();
  const now = [...host.groups.values()].map(({ id, members }) => ({ id, devices: members }));
  const served = [...host.groups.values()].flatMap((group) => (hasIommu(group) ? group.members : []));
  const scope = claimsOf(topology, host.iommu, served);
  const table = new GroupTable(topology, { profile: host.profile, scope }, now);
  const placed = comers.map((bdf) => [bdf, table.probe(bdf)] as const);
  return new Map(placed.filter((each): each is [string, number] => each[1] !== null));
}

/** The IOMMU hears of functions that have joined groups. */
export function* tellIommu(host: Host, topology: Topology, groups: ReadonlyMap<string, number>): Op<void> {
  reserve(host, groups.values());
  const functions = [...groups].map(([bdf, group]) => ({ bdf, group }));
  const endpoints = endpointsOf(topology, ({ bdf }) => groups.has(bdf));
  if (endpoints.length > 0)
    yield* call(IOMMU, iommuApi.configure, { profile: host.setup.profile, units: [], endpoints });
  if (functions.length > 0) yield* call(IOMMU, iommuApi.setup, { kind: host.setup.iommu, functions });
}

/** Nobody else gets the numbers of the new groups while the IOMMU is told. */
function reserve({ groups }: Host, ids: Iterable<number>): void {
  for (const id of ids) if (!groups.has(id)) groups.set(id, newGroup(id, []));
  sortGroups(groups);
}

/** A driver meets a function that has no group: it may get one now, where firmware names its IOMMU (traces c009, c010). */
export function* meetIommu(host: Host, device: Device): Op<void> {
  if (device.group || !host.iommu.namedByFirmware) return;
  const groups = groupsFor(host, host.topology, [device.bdf]);
  const id = groups.get(device.bdf);
  if (id === undefined) return;
  device.group = join(host, id, device.bdf);
  yield* tellIommu(host, host.topology, groups);
}

export function join({ groups, topology }: Host, id: number, bdf: string): IommuGroup {
  const group = groups.get(id) ?? newGroup(id, []);
  const members = new Set([...group.members, bdf]);
  group.members = topology.functions.flatMap((f) => (members.has(f.bdf) ? [f.bdf] : []));
  groups.set(id, group);
  sortGroups(groups);
  return group;
}

function sortGroups(groups: Host['groups']): void {
  const sorted = [...groups].sort(([a], [b]) => a - b);
  groups.clear();
  for (const [id, group] of sorted) groups.set(id, group);
}

/** A group without members goes. */
export function leave(host: Host, device: Device): void {
  const { group, bdf } = device;
  if (!group) return;
  device.group = undefined;
  group.members = group.members.filter((each) => each !== bdf);
  if (group.members.length === 0) host.groups.delete(group.id);
}
