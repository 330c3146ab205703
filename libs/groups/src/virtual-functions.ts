/**
 * VFs as functions of the host: they come with their groups and go without a trace. [drivers/pci/iov.c]
 *
 * Words: a PF's VFs have numbers from 0 on, in the order of their addresses.
 * Rule: the IOMMU knows a function before the host shows it, and forgets it after. The caller holds the host's rescan lock.
 */
import { call, IOMMU, iommuApi, type Op } from '@vfiolab/core';
import {
  formatBdf,
  type PciFunction,
  type PciFunctionInit,
  type Topology,
  vfAddress,
  virtualFunctions,
} from '@vfiolab/pci';
import { groupsAtProbe, newDevice } from './host-topology.js';
import type { Device, Host } from './host.js';
import { groupsFor, join, leave, tellIommu } from './membership.js';

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
  return planFunctions(host, made);
}

/** Functions that appear on the bus. */
export function planFunctions(host: Host, made: readonly PciFunctionInit[]): Plan {
  const topology = host.topology.plug(made);
  const late = groupsAtProbe(host.profile, host.iommu);
  const bdfs = made.map(({ bdf }) => bdf);
  return { topology, groups: late ? new Map() : groupsFor(host, topology, bdfs) };
}

/** Shows the functions of the plan, in no driver's hands. */
export function* plug(host: Host, { topology, groups }: Plan): Op<Device[]> {
  yield* tellIommu(host, topology, groups);
  return show(host, { topology, groups });
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

/** A function that no driver has goes. */
export function* unplug(host: Host, device: Device): Op<void> {
  const { group } = device;
  hide(host, device);
  if (group) yield* call(IOMMU, iommuApi.remove, { bdf: device.bdf });
}

export function hide(host: Host, device: Device): void {
  host.topology = host.topology.unplug(device.bdf);
  host.devices = new Map([...host.devices].filter(([each]) => each !== device.bdf));
  leave(host, device);
}
