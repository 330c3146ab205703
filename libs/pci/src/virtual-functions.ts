/**
 * The virtual functions that a PF has when its SR-IOV capability is switched on (SR-IOV 1.1 chapter 2; [iov.c]).
 *
 * Words: VF n has the *requester id* of its PF + offset + n * stride, which may be on a later bus.
 * Rule: a VF is made of facts about its PF only, so the same PF makes the same VFs every time.
 */
import { devfnOf, formatBdf, type PciAddress } from './bdf.js';
import { LIMITS } from './limits.js';
import type { PciFunction, PciFunctionInit } from './pci-function.js';
import type { Topology } from './topology.js';

const LAST_BUS = 0xff;

/** Where VF `n` of a PF is; its bus may be beyond 255. */
export function vfAddress({ domain, bus, dev, fn, sriov }: PciFunction, n: number): PciAddress {
  const rid = (bus << 8) + devfnOf({ domain, bus, dev, fn }) + sriov!.offset + n * sriov!.stride;
  return { domain, bus: rid >> 8, dev: (rid >> 3) & 0x1f, fn: rid & 7 };
}

/**
 * The first `count` VFs of a PF. Undefined: the bridge above has not the buses for them, an address is taken, or the
 * machine would have too many functions.
 */
export function virtualFunctions(topology: Topology, pf: PciFunction, count: number): PciFunctionInit[] | undefined {
  const last = topology.bridgeAbove(pf)?.buses?.subordinate ?? LAST_BUS;
  if (topology.functions.length + count > LIMITS.functions) return undefined;
  const made: PciFunctionInit[] = [];
  const taken = new Set<string>();
  for (let n = 0; n < count; n++) {
    const at = vfAddress(pf, n);
    const bdf = formatBdf(at);
    if (at.bus > last || topology.get(bdf) || taken.has(bdf)) return undefined;
    taken.add(bdf);
    made.push(virtualFunction(pf, bdf));
  }
  return made;
}

const virtualFunction = (pf: PciFunction, bdf: string): PciFunctionInit => ({
  bdf,
  vendor: pf.vendor,
  device: pf.sriov!.vfDevice,
  classCode: pf.classCode,
  revision: pf.revision,
  subsystemVendor: pf.subsystemVendor,
  subsystemDevice: pf.subsystemDevice,
  pcieType: pf.pcieType,
  isVf: true,
  vfOf: pf.bdf,
  numaNode: pf.numaNode,
  physicalSlot: pf.physicalSlot,
  iommuGroup: pf.iommuGroup,
  bars: pf.bars.filter(({ vf }) => vf).map((bar) => ({ ...bar, vf: false })),
  config: pf.vfTemplate?.config ?? null,
  model: pf.model,
});
