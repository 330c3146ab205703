/**
 * Which functions does an IOMMU serve at all? Those outside get no group.
 *
 * Rules, first that applies:
 * 1. The machine's own kernel recorded groups: a function with a recorded group is inside, every other is outside.
 * 2. The IOMMU's own function is outside: class 0806, or virtio-iommu (1af4:1057).
 * 3. An AMD (1022) host bridge in the slot of an IOMMU function on a root bus is outside: firmware describes the
 *    devices of a root complex from the one after its IOMMU (00:00.0 host bridge, 00:00.2 IOMMU). Some laptop firmware
 *    includes it, and so did chipsets under ATI's vendor id (1002); the table that says so (IVRS) is not in a dump.
 * 4. A function that the description says the IOMMU does not know is outside.
 * 5. Everything else is inside.
 */
import { classOf, type PciFunction } from './pci-function.js';
import type { Topology } from './topology.js';

const CLASS_HOST_BRIDGE = 0x0600;
const CLASS_IOMMU = 0x0806;

export function inIommuScope(topology: Topology): (f: PciFunction) => boolean {
  if (topology.functions.some((f) => f.iommuGroup !== null)) return (f) => f.iommuGroup !== null;
  return (f) => !isIommu(f) && !isHostBridgeOfIommu(topology, f) && !f.unknownToIommu;
}

const isIommu = (f: PciFunction): boolean => classOf(f) === CLASS_IOMMU || (f.vendor === 0x1af4 && f.device === 0x1057);

function isHostBridgeOfIommu(topology: Topology, f: PciFunction): boolean {
  if (f.vendor !== 0x1022 || classOf(f) !== CLASS_HOST_BRIDGE || !topology.isOnRootBus(f)) return false;
  return topology.onBus(f).some((each) => each.dev === f.dev && classOf(each) === CLASS_IOMMU);
}
