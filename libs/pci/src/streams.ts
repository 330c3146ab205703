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

/**
 * A predicate that admits a function when no other has one of its streams, and from then on they are its own. `served`: who has
 * streams already.
 */
export function streamClaims(topology: Topology, served: Iterable<string> = []): (f: PciFunction) => boolean {
  const inScope = inIommuScope(topology);
  const owners = new Map<string, string>();
  const streamsOf = (f: PciFunction): string[] =>
    dmaAliases(topology, f).map((alias) => `${topology.iommuUnitOf(f)} ${f.domain} ${streamOf(alias, f)}`);
  for (const bdf of served) {
    const f = topology.get(bdf);
    if (f) for (const stream of streamsOf(f)) owners.set(stream, bdf);
  }
  return (f) => {
    if (!inScope(f)) return false;
    const streams = streamsOf(f);
    if (streams.some((stream) => (owners.get(stream) ?? f.bdf) !== f.bdf)) return false;
    for (const stream of streams) owners.set(stream, f.bdf);
    return true;
  };
}

/** As {@link inIommuScope}, without the functions whose streams are others'. Functions come in address order. */
export function inStreamScope(topology: Topology): (f: PciFunction) => boolean {
  const served = new Set(topology.functions.filter(streamClaims(topology)).map(({ bdf }) => bdf));
  return ({ bdf }) => served.has(bdf);
}
