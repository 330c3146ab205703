/**
 * A machine's PCI functions and the tree of buses between them.
 *
 * Words: the bridge *above* a function is the one whose secondary bus it sits on; a bus is a *root bus* when no bridge
 * leads to it; a *virtual bus* has no bridge of its own but a parent (SR-IOV VFs whose numbers run past the bus of
 * their PF).
 * Rule: a Topology is checked once, when it is made, and never changes; a hot-plug makes a new one.
 */
import { busKey, compareAddress, type PciAddress } from './bdf.js';
import { LIMITS } from './limits.js';
import { pciFunction, type PciFunction, type PciFunctionInit, type PcieType } from './pci-function.js';
import { TopologyError, type Origin } from './topology-error.js';

/** The IOMMU of the machine, when the source names it. */
export const MACHINE_IOMMUS = [
  'intel-vtd',
  'intel-vtd-39',
  'intel-vtd-sm',
  'intel-vtd-fs',
  'intel-vtd-scalable',
  'amd-vi',
  'amd-vi-hd',
  'arm-smmu-v3',
  'arm-smmu-v3-s2',
  'arm-smmu-v3-nested',
  'arm-smmu-v3-canwbs',
  'arm-smmu-v3-cmdqv',
  'arm-smmu-v3-full',
  'virtio-iommu',
  's390',
  'ppc64-pnv',
  'ppc64-pnv-full',
  'ppc64-pseries',
  'none',
  'off',
  'unknown',
] as const;
export type IommuKind = (typeof MACHINE_IOMMUS)[number];

/** One IOMMU of a machine that has several. */
export interface IommuUnitFacts {
  /** Functions behind it: the beginnings of their addresses. */
  readonly functions: readonly string[];
  /** Ids that it has for domains of users; 0: as many as its kind. */
  readonly domainIds: number;
  readonly snoopControl: boolean;
}

/** Addresses of functions [bus, bus + size) that the processor has at [cpu, cpu + size). */
export interface BridgeWindow {
  readonly bus: bigint;
  readonly cpu: bigint;
  readonly size: bigint;
}

export interface TopologyInit {
  readonly functions: readonly PciFunctionInit[];
  readonly iommu?: IommuKind;
  /** False for a machine recorded under an older kernel (5.4) without the ACS rule for Intel integrated endpoints. */
  readonly intelRciepAcs?: boolean;
  /** IOMMU units in the order their kernel brought them up: `dddd:bb` (root bus) or `gfx` (integrated graphics). */
  readonly unitOrder?: readonly string[];
  /** Functions in the order in which drivers first met them, where it was recorded. */
  readonly probeOrder?: readonly string[];
  /** Host bridges by PCI domain, where they hang below another device: its path in /sys/devices. */
  readonly hostBridges?: ReadonlyMap<number, string>;
  /** By PCI domain: where the processor has other addresses than functions; elsewhere they are the same. */
  readonly bridgeWindows?: ReadonlyMap<number, BridgeWindow>;
  /** By PCI domain: the window for prefetchable memory of 64 bits, where a host bridge of POWER has one. */
  readonly wideWindows?: ReadonlyMap<number, BridgeWindow>;
  /** By PCI domain: what firmware calls the host bridge in its device tree. */
  readonly firmwareNames?: ReadonlyMap<number, string>;
  /** Partitionable endpoints by PCI domain, where a host bridge of POWER has fewer than most. */
  readonly endpointCounts?: ReadonlyMap<number, number>;
  /** Lines of /proc/iomem, by kernel release. */
  readonly memoryMaps?: ReadonlyMap<string, readonly string[]>;
  /** The first is that of all functions which no other names. */
  readonly iommuUnits?: readonly IommuUnitFacts[];
  /** Names of devices on the vDPA bus. */
  readonly vdpaDevices?: readonly string[];
  /** What the source did not show and what was assumed instead, for people. */
  readonly warnings?: readonly string[];
}

/** How one bus hangs below another. `bridge` null: a virtual bus. */
interface BusLink {
  readonly bridge: PciFunction | null;
  readonly parentBus: number;
}

export class Topology {
  /** All functions, sorted by address. */
  readonly functions: readonly PciFunction[];
  readonly iommu: IommuKind;
  readonly intelRciepAcs: boolean;
  readonly unitOrder: readonly string[];
  readonly probeOrder: readonly string[];
  readonly memoryMaps: ReadonlyMap<string, readonly string[]>;
  readonly iommuUnits: readonly IommuUnitFacts[];
  readonly vdpaDevices: readonly string[];
  readonly warnings: readonly string[];
  readonly hostBridges: ReadonlyMap<number, string>;
  readonly bridgeWindows: ReadonlyMap<number, BridgeWindow>;
  readonly wideWindows: ReadonlyMap<number, BridgeWindow>;
  readonly firmwareNames: ReadonlyMap<number, string>;
  readonly endpointCounts: ReadonlyMap<number, number>;
  private readonly byBdf = new Map<string, PciFunction>();
  private readonly byBus = new Map<number, PciFunction[]>();
  private readonly links = new Map<number, BusLink>();

  /**
   * Throws TopologyError: no function, too many, a bad or doubled BDF, or bridges that do not form a tree. `emptied`: a machine
   * may be left without functions.
   */
  constructor(init: TopologyInit, emptied = false) {
    if (!emptied) checkCount(init.functions.length);
    const origins = new Map<string, Origin>();
    const functions = init.functions.map((each) => {
      const f = pciFunction(each);
      if (origins.has(f.bdf)) {
        const hint = 'Every function may be described once; remove one of the two.';
        throw new TopologyError(`${f.bdf} appears twice`, each.origin ?? {}, hint);
      }
      origins.set(f.bdf, each.origin ?? {});
      return f;
    });
    functions.sort(compareAddress);
    this.iommu = init.iommu ?? 'unknown';
    this.intelRciepAcs = init.intelRciepAcs ?? true;
    this.unitOrder = init.unitOrder ?? [];
    this.probeOrder = init.probeOrder ?? [];
    this.memoryMaps = init.memoryMaps ?? new Map();
    this.iommuUnits = init.iommuUnits ?? [];
    this.vdpaDevices = init.vdpaDevices ?? [];
    this.warnings = init.warnings ?? [];
    this.hostBridges = init.hostBridges ?? new Map();
    this.bridgeWindows = init.bridgeWindows ?? new Map();
    this.wideWindows = init.wideWindows ?? new Map();
    this.firmwareNames = init.firmwareNames ?? new Map();
    this.endpointCounts = init.endpointCounts ?? new Map();
    for (const f of functions) this.linkBridge(f, origins.get(f.bdf) ?? {});
    this.functions = functions.map((f) => this.place(f));
    this.linkVirtualBuses();
  }

  /** The same machine with functions more. Throws as the constructor. */
  plug(more: readonly PciFunctionInit[]): Topology {
    return new Topology({ ...this, functions: [...this.functions, ...more] });
  }

  /** The same machine without a function. */
  unplug(bdf: string): Topology {
    return new Topology({ ...this, functions: this.functions.filter((f) => f.bdf !== bdf) }, true);
  }

  get(bdf: string): PciFunction | undefined {
    return this.byBdf.get(bdf);
  }

  /** Number of the IOMMU before a function. */
  iommuUnitOf({ bdf }: PciFunction): number {
    return Math.max(
      0,
      this.iommuUnits.findIndex(({ functions }) => functions.some((start) => bdf.startsWith(start))),
    );
  }

  /** Functions on the same bus as `at`, itself included, sorted by address. */
  onBus(at: PciAddress): readonly PciFunction[] {
    return this.byBus.get(busKey(at.domain, at.bus)) ?? [];
  }

  isOnRootBus(f: PciFunction): boolean {
    return !this.links.has(busKey(f.domain, f.bus));
  }

  /** Bridges from the one above `f` up to the root bus, nearest first; virtual buses are skipped. */
  bridgesAbove(f: PciFunction): PciFunction[] {
    const bridges: PciFunction[] = [];
    let link = this.links.get(busKey(f.domain, f.bus));
    while (link) {
      if (link.bridge) bridges.push(this.current(link.bridge));
      link = this.links.get(busKey(f.domain, link.parentBus));
    }
    return bridges;
  }

  bridgeAbove(f: PciFunction): PciFunction | null {
    return this.bridgesAbove(f)[0] ?? null;
  }

  /** Number of the root bus that `f` hangs below. */
  rootBusOf(f: PciFunction): number {
    let bus = f.bus;
    for (let link = this.linkOf(f.domain, bus); link; link = this.linkOf(f.domain, bus)) bus = link.parentBus;
    return bus;
  }

  private linkOf(domain: number, bus: number): BusLink | undefined {
    return this.links.get(busKey(domain, bus));
  }

  /** The entry of `byBdf`, whose port type may have been corrected since the link was made. */
  private current(f: PciFunction): PciFunction {
    return this.byBdf.get(f.bdf) ?? f;
  }

  private linkBridge(f: PciFunction, origin: Origin): void {
    if (f.headerType === 0 || f.buses === null || f.buses.secondary === 0) return;
    const { secondary } = f.buses;
    if (secondary <= f.bus) {
      const what = `${f.bdf} is a bridge to bus ${hexBus(secondary)}, which is not below its own bus ${hexBus(f.bus)}`;
      throw new TopologyError(what, origin, 'A secondary bus number must be greater than the bus the bridge is on.');
    }
    const key = busKey(f.domain, secondary);
    const other = this.links.get(key)?.bridge;
    if (other) {
      const what = `${f.bdf} and ${other.bdf} both claim bus ${hexBus(secondary)} as secondary`;
      throw new TopologyError(what, origin, 'A bus hangs below one bridge; check the bus numbers of both.');
    }
    this.links.set(key, { bridge: f, parentBus: f.bus });
  }

  /** Files `f` under its bus. Called in address order, so the bridge above it has been placed before. */
  private place(f: PciFunction): PciFunction {
    const type = correctedType(f.pcieType, this.bridgeAbove(f)?.pcieType ?? null);
    const placed = type === f.pcieType ? f : { ...f, pcieType: type };
    this.byBdf.set(f.bdf, placed);
    const key = busKey(f.domain, f.bus);
    const bus = this.byBus.get(key);
    if (bus) bus.push(placed);
    else this.byBus.set(key, [placed]);
    return placed;
  }

  private linkVirtualBuses(): void {
    for (const [key, onBus] of this.byBus) {
      const first = onBus[0];
      if (this.links.has(key) || !first) continue;
      const parent = this.bridgeOver(first)?.buses?.secondary ?? this.busOfPf(onBus);
      if (parent !== null && parent < first.bus) this.links.set(key, { bridge: null, parentBus: parent });
    }
  }

  /** The bridge with the narrowest bus range that covers the bus of `f`. */
  private bridgeOver(f: PciFunction): PciFunction | null {
    let best: PciFunction | null = null;
    for (const { bridge } of this.links.values()) {
      if (!bridge?.buses || bridge.domain !== f.domain) continue;
      const { secondary, subordinate } = bridge.buses;
      if (secondary >= f.bus || f.bus > subordinate) continue;
      if (secondary > (best?.buses?.secondary ?? -1)) best = bridge;
    }
    return best;
  }

  /** Bus of the PF when all functions are VFs of it (VFs of an integrated device have no bridge at all). */
  private busOfPf(onBus: readonly PciFunction[]): number | null {
    if (!onBus.every((f) => f.isVf)) return null;
    const pf = onBus.map((f) => (f.vfOf === null ? undefined : this.get(f.vfOf))).find((f) => f !== undefined);
    return pf?.bus ?? null;
  }
}

/** A switch port that names its direction wrongly is corrected, as the kernel does [probe.c set_pcie_port_type]. */
function correctedType(type: PcieType | null, above: PcieType | null): PcieType | null {
  if (type === 'downstream' && (above === 'downstream' || above === 'root_port')) return 'upstream';
  if (type === 'upstream' && above === 'upstream') return 'downstream';
  return type;
}

function checkCount(count: number): void {
  if (count === 0) throw new TopologyError('The machine has no PCI function', {}, 'Give at least one.');
  if (count > LIMITS.functions) {
    const what = `The machine has ${count} PCI functions; at most ${LIMITS.functions} are accepted`;
    throw new TopologyError(what, {}, 'Split the file by PCI domain.');
  }
}

const hexBus = (bus: number): string => bus.toString(16).padStart(2, '0');
