/**
 * Is a function isolated from its neighbours by Access Control Services? (semantics A1.3, A1.4)
 *
 * Words: *required* ACS is Source Validation + P2P Request Redirect + P2P Completion Redirect + Upstream Forwarding.
 * Rule: only the control register counts; a required flag that the capability register lacks is hard-wired and fulfilled.
 */
import {
  ACS_QUIRKS,
  CAVIUM_ROOT_PORTS,
  INTEL_DWORD_ACS,
  WANGXUN_NICS,
  ZHAOXIN_PORTS,
  inRanges,
  isIntelPchRootPort,
  type AcsQuirk,
} from './acs-quirks.js';
import { classOf, type Acs, type PciFunction } from './pci-function.js';
import type { KernelProfile } from './profile.js';
import type { Topology } from './topology.js';

export const ACS = {
  sourceValidation: 0x01,
  translationBlocking: 0x02,
  requestRedirect: 0x04,
  completionRedirect: 0x08,
  upstreamForwarding: 0x10,
  egressControl: 0x20,
  directTranslated: 0x40,
} as const;

/** SV + RR + CR + UF. */
export const REQUIRED_ACS =
  ACS.sourceValidation | ACS.requestRedirect | ACS.completionRedirect | ACS.upstreamForwarding;

/** In no id table: a device whose id the source did not say still falls under the rules for a whole vendor. */
const NO_DEVICE = -1;

/**
 * `recorded`: the control registers are taken as the dump shows them. `kernel`: as a kernel that starts with an IOMMU
 * would leave them, every required flag that is capable switched on; for dumps made while the IOMMU was off.
 */
export type AcsControl = 'recorded' | 'kernel';

/** Answers for the functions of one topology under one kernel; each function is judged once. */
export class AcsJudge {
  private readonly verdicts = new Map<string, boolean>();

  constructor(
    private readonly topology: Topology,
    private readonly profile: KernelProfile,
    private readonly control: AcsControl,
  ) {}

  /** pci_acs_enabled(f, required flags). */
  isolates(f: PciFunction): boolean {
    const known = this.verdicts.get(f.bdf);
    if (known !== undefined) return known;
    const verdict = this.byQuirk(f) ?? this.byType(f);
    this.verdicts.set(f.bdf, verdict);
    return verdict;
  }

  /** True when `bridge` and every bridge above it up to the root bus isolates. */
  isolatesPath(bridge: PciFunction): boolean {
    return this.isolates(bridge) && this.topology.bridgesAbove(bridge).every((each) => this.isolates(each));
  }

  /** The first quirk row with an opinion, else undefined. */
  private byQuirk(f: PciFunction): boolean | undefined {
    for (const quirk of ACS_QUIRKS[this.profile]) {
      if (quirk.vendor !== f.vendor) continue;
      const device = f.device ?? NO_DEVICE;
      if (quirk.devices !== 'any' && !quirk.devices.includes(device)) continue;
      const verdict = this.apply(quirk, f, device);
      if (verdict !== undefined) return verdict;
    }
    return undefined;
  }

  private apply(quirk: AcsQuirk, f: PciFunction, device: number): boolean | undefined {
    const rootPort = f.pcieType === 'root_port';
    switch (quirk.rule) {
      case 'no-peer-to-peer':
        return true;
      case 'root-port-no-peer-to-peer':
        return rootPort ? true : undefined;
      case 'amd-southbridge':
        return f.multifunction && this.topology.isOnRootBus(f) && hasAmdIommu(this.topology) ? true : undefined;
      case 'intel-rciep':
        return f.pcieType === 'rciep' && this.topology.intelRciepAcs ? true : undefined;
      case 'intel-pch':
        return rootPort && isIntelPchRootPort(device) ? pchSwitchWorks(this.topology, f) : undefined;
      case 'intel-dword-acs':
        return rootPort && inRanges(device, INTEL_DWORD_ACS) && f.acs ? this.dwordFulfils(f.acs) : undefined;
      case 'cavium-root-port':
        return rootPort && inRanges(device, CAVIUM_ROOT_PORTS) ? true : undefined;
      case 'zhaoxin-port':
        return rootPort || f.pcieType === 'downstream' ? inRanges(device, ZHAOXIN_PORTS) : undefined;
      case 'wangxun-nic':
        return inRanges(device, WANGXUN_NICS);
    }
  }

  private byType(f: PciFunction): boolean {
    switch (f.pcieType) {
      case null:
      case 'pci_to_pcie_bridge':
      case 'pcie_to_pci_bridge':
      case 'rcec':
        return false;
      case 'downstream':
      case 'root_port':
        return this.fulfils(f.acs);
      case 'endpoint':
      case 'legacy_endpoint':
      case 'rciep':
      case 'upstream':
        return f.multifunction ? this.fulfils(f.acs) : true;
    }
  }

  /** A capability whose registers were not shown is taken as the kernel leaves it: capable flags on. */
  private fulfils(acs: Acs | null): boolean {
    if (!acs) return false;
    if (this.control === 'kernel' || acs.cap === null || acs.ctrl === null) return true;
    return (REQUIRED_ACS & acs.cap & ~acs.ctrl) === 0;
  }

  /** The register at +6, which lspci prints, means nothing on these ports; unknown +8 = as the kernel leaves it. */
  private dwordFulfils(acs: Acs): boolean {
    if (this.control === 'kernel' || acs.cap === null || acs.dwordCtrl === null) return true;
    return (REQUIRED_ACS & acs.cap & ~acs.dwordCtrl) === 0;
  }
}

/** The kernel asks for an ACPI IVRS table; the machine shows it as an AMD function of the IOMMU class. */
export function hasAmdIommu(topology: Topology): boolean {
  if (topology.iommu === 'amd-vi') return true;
  return topology.functions.some((f) => classOf(f) === 0x0806 && (f.vendor === 0x1022 || f.vendor === 0x1002));
}

/**
 * The kernel can switch PCH isolation on only when the LPC bridge (1f.0) has its root complex registers enabled: bit 0
 * of RCBA, 32 bits at 0xf0. Without a dump of that register it is taken as enabled, as firmware leaves it.
 */
function pchSwitchWorks(topology: Topology, f: PciFunction): boolean {
  const lpc = topology.onBus(f).find((each) => each.dev === 31 && each.fn === 0);
  const rcba = lpc?.config?.[0xf0];
  return rcba === undefined || (rcba & 1) === 1;
}
