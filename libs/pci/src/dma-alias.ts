/**
 * Under which devices' names does a function's DMA reach the IOMMU? (semantics A1.1) [pci/search.c]
 *
 * Rule: the list is ordered from the function upward; the last entry is the finest grain the IOMMU can tell apart.
 */
import { isTranslationRoot, isVmdEndpoint } from './alias-quirks.js';
import type { PciFunction } from './pci-function.js';
import type { Topology } from './topology.js';

/** Linux numbers VMD domains from here, above every ACPI segment [controller/vmd.c]. */
const FIRST_VMD_DOMAIN = 0x10000;

/** Devices that stand for `f`: itself (or its VMD endpoint), then each bridge above that takes ownership of requests. */
export function dmaAliases(topology: Topology, f: PciFunction): PciFunction[] {
  const start = realDmaDevice(topology, f);
  const aliases = [start];
  for (const bridge of topology.bridgesAbove(start)) {
    if (isTranslationRoot(bridge)) break;
    if (takesOwnership(bridge)) aliases.push(bridge);
  }
  return aliases;
}

/** Express ports pass requester ids through; every other bridge may replace them by its own. */
function takesOwnership(bridge: PciFunction): boolean {
  switch (bridge.pcieType) {
    case null:
    case 'pcie_to_pci_bridge':
    case 'pci_to_pcie_bridge':
      return true;
    default:
      return false;
  }
}

/**
 * Children of a VMD do DMA as the VMD endpoint. A dump does not say which one, but the driver numbers its domains in
 * the order it binds endpoints: the n-th VMD domain belongs to the n-th endpoint.
 */
export function realDmaDevice(topology: Topology, f: PciFunction): PciFunction {
  return f.domain < FIRST_VMD_DOMAIN ? f : (vmdEndpoints(topology).get(f.domain) ?? f);
}

const endpointsByTopology = new WeakMap<Topology, ReadonlyMap<number, PciFunction>>();

/** VMD endpoint by the domain of its children; worked out once, because a topology never changes. */
function vmdEndpoints(topology: Topology): ReadonlyMap<number, PciFunction> {
  const known = endpointsByTopology.get(topology);
  if (known) return known;
  const domains = new Set(topology.functions.map((each) => each.domain).filter((domain) => domain >= FIRST_VMD_DOMAIN));
  const endpoints = topology.functions.filter(isVmdEndpoint);
  const bound = endpoints.filter((each) => each.driver === 'vmd');
  const byDomain = new Map<number, PciFunction>();
  [...domains].forEach((domain, n) => {
    const endpoint = (bound.length > 0 ? bound : endpoints)[n];
    if (endpoint) byDomain.set(domain, endpoint);
  });
  endpointsByTopology.set(topology, byDomain);
  return byDomain;
}
