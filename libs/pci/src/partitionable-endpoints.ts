/**
 * IOMMU groups of POWER: one for each partitionable endpoint (PE), the unit that the host bridge isolates. (semantics A1.10)
 * On s390 that is each function.
 *
 * Rule: on bare metal a PE is a bus, and everything behind a bridge from PCI Express to PCI is one; under a hypervisor it is
 * a host bridge. Ports and bridges are in no group (SURPRISES 71). Numbers count in the order of addresses.
 */
import type { Group } from './grouping.js';
import type { PciFunction } from './pci-function.js';
import type { Topology } from './topology.js';

export type EndpointUnit = 'bus' | 'host-bridge' | 'function';

/** The bus whose PE the function is in. */
function busOf(topology: Topology, f: PciFunction): number {
  const toPci = topology.bridgesAbove(f).filter(({ pcieType }) => pcieType === 'pcie_to_pci_bridge');
  return toPci.at(-1)?.buses?.secondary ?? f.bus;
}

export function partitionableEndpoints(topology: Topology, unit: EndpointUnit): Group[] {
  const members = new Map<string, string[]>();
  for (const f of topology.functions) {
    if (f.headerType !== 0) continue;
    const name = unit === 'function' ? f.bdf : unit === 'bus' ? `${f.domain}:${busOf(topology, f)}` : `${f.domain}`;
    const known = members.get(name);
    if (known) known.push(f.bdf);
    else members.set(name, [f.bdf]);
  }
  return [...members.values()].map((devices, id) => ({ id, devices }));
}

/** PEs of a PHB4 with all of its lanes. The last is reserved, the one before is the root bus's. */
const ALL_ENDPOINTS = 512;
const SET_ASIDE = 2;

const usesWideWindow = (f: PciFunction): boolean =>
  f.bars.some(({ bits, prefetchable, vf }) => bits === 64 && prefetchable === true && !vf);

/**
 * Number of a function's PE in its host bridge. Buses take the highest that is free, in their order; one with functions in the wide
 * prefetchable window has the number of its segment there, which are taken to be one after the other (trace p001).
 */
export function endpointNumber(topology: Topology, unit: EndpointUnit, f: PciFunction): number {
  if (unit === 'host-bridge') return 0;
  const count = topology.endpointCounts.get(f.domain) ?? ALL_ENDPOINTS;
  if (topology.isOnRootBus(f)) return count - SET_ASIDE;
  const inDomain = topology.functions.filter((each) => each.domain === f.domain && !topology.isOnRootBus(each));
  const wide = new Set(inDomain.filter(usesWideWindow).map((each) => busOf(topology, each)));
  const bus = busOf(topology, f);
  const before = new Set(inDomain.map((each) => busOf(topology, each)).filter((each) => each < bus));
  const [low, high] = [[...before].filter((each) => wide.has(each)), [...before].filter((each) => !wide.has(each))];
  if (wide.has(bus)) return low.length;
  return count - SET_ASIDE - 1 - high.length;
}
