/**
 * VFs as functions of the host: they come with their groups and go without a trace. [drivers/pci/iov.c]
 *
 * Words: a PF's VFs have numbers from 0 on, in the order of their addresses.
 * Rule: the IOMMU knows a function before the host shows it, and forgets it after. The caller holds the host's rescan lock.
 */
import { call, IOMMU, iommuApi, type Op } from '@vfiolab/core';
import { formatBdf, GroupTable, type PciFunction, type Topology, vfAddress, virtualFunctions } from '@vfiolab/pci';
import { endpointsOf } from './endpoints.js';
import { newDevice, newGroup, scopeOf } from './host-topology.js';
import type { Device, Host } from './host.js';

/** The PF of a VF. */
export const pfOf = (host: Host, { facts }: Device): Device | undefined =>
  facts.vfOf === null ? undefined : host.devices.get(facts.vfOf);

/** The enabled VFs of a PF, by number. */
export function vfsOf(host: Host, pf: Device): Device[] {
  const count = pf.vfs?.count ?? 0;
  const at = Array.from({ length: count }, (_, n) => host.devices.get(formatBdf(vfAddress(pf.facts, n))));
  return at.filter((device) => device?.facts.vfOf === pf.bdf) as Device[];
}

/** A host's next state: its functions, and the groups of those that come. */
interface Plan {
  readonly topology: Topology;
  readonly groups: ReadonlyMap<string, number>;
}

/** Undefined: the bus has no room for so many VFs. */
export function planVfs(host: Host, pf: Device, count: number): Plan | undefined {
  const made = virtualFunctions(host.topology, pf.facts, count);
  if (!made) return undefined;
  const topology = host.topology.plug(made);
  if (!host.iommu.translates) return { topology, groups: new Map() };
  const now = [...host.groups.values()].map(({ id, members }) => ({ id, devices: members }));
  const scope = scopeOf(topology, host.iommu.separatesStreams === true);
  const table = new GroupTable(topology, { profile: host.profile, scope }, now);
  const placed = made.map(({ bdf }) => [bdf, table.probe(bdf)] as const);
  return { topology, groups: new Map(placed.filter((each): each is [string, number] => each[1] !== null)) };
}

/** Shows the functions of the plan, in no driver's hands. */
export function* plug(host: Host, { topology, groups }: Plan): Op<Device[]> {
  reserve(host, groups.values());
  const functions = [...groups].map(([bdf, group]) => ({ bdf, group }));
  const endpoints = endpointsOf(topology, ({ bdf }) => groups.has(bdf));
  if (endpoints.length > 0)
    yield* call(IOMMU, iommuApi.configure, { profile: host.setup.profile, units: [], endpoints });
  if (functions.length > 0) yield* call(IOMMU, iommuApi.setup, { kind: host.setup.iommu, functions });
  return show(host, { topology, groups });
}

/** Nobody else gets the numbers of the new groups while the IOMMU is told. */
function reserve({ groups }: Host, ids: Iterable<number>): void {
  for (const id of ids) if (!groups.has(id)) groups.set(id, newGroup(id, []));
  sortGroups(groups);
}

/** The same as {@link plug} for a host that the IOMMU knows already. */
export function show(host: Host, { topology, groups }: Plan): Device[] {
  host.topology = topology;
  const made: Device[] = [];
  const device = (facts: PciFunction): [string, Device] => {
    const known = host.devices.get(facts.bdf);
    if (known) return [facts.bdf, known];
    const id = groups.get(facts.bdf);
    const device = newDevice(facts, id === undefined ? undefined : join(host, id, facts.bdf));
    made.push(device);
    return [facts.bdf, device];
  };
  host.devices = new Map(topology.functions.map(device));
  return made;
}

function join({ groups, topology }: Host, id: number, bdf: string): Device['group'] {
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

/** A VF that no driver has goes. */
export function* unplug(host: Host, vf: Device): Op<void> {
  hide(host, vf);
  if (vf.group) yield* call(IOMMU, iommuApi.remove, { bdf: vf.bdf });
}

export function hide(host: Host, { bdf, group }: Device): void {
  host.topology = host.topology.unplug(bdf);
  host.devices = new Map([...host.devices].filter(([each]) => each !== bdf));
  if (!group) return;
  group.members = group.members.filter((each) => each !== bdf);
  if (group.members.length === 0) host.groups.delete(group.id);
}
