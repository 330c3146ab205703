/**
 * Stream ids: under which numbers an SMMUv3 sees a function's requests.
 *
 * Rule: a stream belongs to one function. A function that comes later and has a stream in common with it is not served: it
 * gets no group, and only a host that does without an IOMMU can give it away (traces b062, c010 of Arm machines).
 * [arm-smmu-v3.c, pci/search.c]
 */
import { devfnOf } from './bdf.js';
import { dmaAliases } from './dma-alias.js';
import type { PciFunction } from './pci-function.js';
import { inIommuScope } from './scope.js';
import type { Topology } from './topology.js';

/** Behind a PCIe-to-PCI bridge requests come from device 0 of its bus; other bridges put their own address in. */
function streamOf(alias: PciFunction, f: PciFunction): number {
  const behind = alias.bdf !== f.bdf && alias.pcieType === 'pcie_to_pci_bridge' ? alias.buses?.secondary : undefined;
  return behind === undefined ? (alias.bus << 8) | devfnOf(alias) : behind << 8;
}

/** As {@link inIommuScope}, without the functions whose streams are others'. Functions come in address order. */
export function inStreamScope(topology: Topology): (f: PciFunction) => boolean {
  const inScope = inIommuScope(topology);
  const taken = new Set<string>();
  const served = new Set<string>();
  for (const f of topology.functions) {
    if (!inScope(f)) continue;
    const unit = topology.iommuUnitOf(f);
    const streams = dmaAliases(topology, f).map((alias) => `${unit} ${f.domain} ${streamOf(alias, f)}`);
    if (streams.some((stream) => taken.has(stream))) continue;
    served.add(f.bdf);
    for (const stream of streams) taken.add(stream);
  }
  return ({ bdf }) => served.has(bdf);
}
