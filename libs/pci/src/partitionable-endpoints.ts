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
