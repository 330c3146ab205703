/**
 * Stand-ins for what lspci could not show: Express types when it ran without root ("<access denied>"), without -v, or
 * from a device that was powered down; and which functions are VFs.
 *
 * Rule: a stand-in follows from the bus tree alone and is announced in a warning; missing ACS is never assumed present.
 */
import { busKey, devfnOf, formatBdf, type PciAddress } from './bdf.js';
import type { BridgeBuses, PcieType, Sriov } from './pci-function.js';

/** The part of a function that inference looks at, and the fields it fills. */
export interface Draft extends PciAddress {
  readonly bdf: string;
  readonly classCode: number | null;
  readonly headerType: 0 | 1 | 2;
  readonly buses: BridgeBuses | null;
  readonly sriov: Sriov | null;
  /** False: neither bytes nor text could show the capability list. */
  readonly capsShown: boolean;
  pcieType: PcieType | null;
  isVf: boolean;
  vfOf: string | null;
}

/** PCI-to-PCI bridge whose programming interface says "subtractive decode": never an Express port. */
const SUBTRACTIVE_BRIDGE = 0x060401;

/** Gives Express types by position to functions whose capabilities were hidden. `drafts` are sorted by address. */
export function inferTypes(drafts: readonly Draft[]): void {
  const bridgeTo = new Map<number, Draft>();
  const hasBridge = new Set<number>();
  for (const f of drafts) {
    if (f.headerType === 0) continue;
    hasBridge.add(busKey(f.domain, f.bus));
    if (f.buses && f.buses.secondary > f.bus) bridgeTo.set(busKey(f.domain, f.buses.secondary), f);
  }
  for (const f of drafts) {
    if (f.capsShown) continue;
    const above = bridgeTo.get(busKey(f.domain, f.bus));
    const below = f.buses ? hasBridge.has(busKey(f.domain, f.buses.secondary)) : false;
    f.pcieType = f.headerType === 0 ? endpointType(above) : bridgeType(f, above, below);
  }
}

const isPort = (type: PcieType | null): boolean => type === 'root_port' || type === 'downstream';

const endpointType = (above: Draft | undefined): PcieType | null =>
  above && isPort(above.pcieType) ? 'endpoint' : null;

function bridgeType(f: Draft, above: Draft | undefined, bridgesBelow: boolean): PcieType | null {
  if (f.headerType === 2 || f.classCode === SUBTRACTIVE_BRIDGE) return null;
  if (!above) return 'root_port';
  if (above.pcieType === 'upstream') return 'downstream';
  if (isPort(above.pcieType)) return bridgesBelow ? 'upstream' : 'pcie_to_pci_bridge';
  return null;
}

/** Marks the functions at the requester ids that each PF's SR-IOV capability gives to its VFs. */
export function markVfs(drafts: readonly Draft[]): void {
  const byBdf = new Map(drafts.map((f) => [f.bdf, f]));
  for (const pf of drafts) {
    for (const bdf of vfAddresses(pf)) {
      const vf = byBdf.get(bdf);
      if (!vf || vf === pf) continue;
      vf.isVf = true;
      vf.vfOf = pf.bdf;
    }
  }
}

function vfAddresses(pf: Draft): string[] {
  const { numVfs = 0, offset = 0, stride = 0 } = pf.sriov ?? {};
  const first = pf.bus * 256 + devfnOf(pf) + offset;
  const rids = Array.from({ length: offset === 0 ? 0 : numVfs }, (_, index) => first + index * stride);
  return rids.filter((rid) => rid <= 0xffff).map((rid) => bdfOfRid(pf.domain, rid));
}

const bdfOfRid = (domain: number, rid: number): string =>
  formatBdf({ domain, bus: rid >> 8, dev: (rid >> 3) & 31, fn: rid & 7 });

/** Slots (`dddd:bb:dd`) in which more than one function that is not a VF is present. */
export function multifunctionSlots(drafts: readonly Draft[]): Set<string> {
  const slots = new Set<string>();
  for (const f of drafts) if (f.fn > 0 && !f.isVf) slots.add(slotOf(f.bdf));
  return slots;
}

export const slotOf = (bdf: string): string => bdf.slice(0, -2);
