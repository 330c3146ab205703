/**
 * IOMMU groups: sets of functions that cannot be told apart or kept apart, so that they can have only one DMA owner.
 * This is pci_device_group() of the Linux IOMMU core [iommu.c] as a pure function of a topology. (semantics A1.1-A1.8)
 *
 * Rule: a function looks for a group among the devices it cannot be separated from, in the kernel's order; only when
 * none has one does it open a group of its own, under the lowest free number.
 */
import { AcsJudge, type AcsControl } from './acs.js';
import { areDmaAliases } from './alias-quirks.js';
import { devfnOf } from './bdf.js';
import { dmaAliases } from './dma-alias.js';
import type { PciFunction } from './pci-function.js';
import { completeProbeOrder, unitProbeOrder } from './probe-order.js';
import { DEFAULT_PROFILE, type KernelProfile } from './profile.js';
import { inIommuScope } from './scope.js';
import type { Topology } from './topology.js';

export interface Group {
  readonly id: number;
  /** BDFs sorted by address. */
  readonly devices: readonly string[];
}

export interface GroupingOptions {
  readonly profile?: KernelProfile;
  readonly acsControl?: AcsControl;
  /** Which functions an IOMMU serves; default: the rules of scope.ts. */
  readonly scope?: (f: PciFunction) => boolean;
}

/** Groups of a machine that is running: functions come (`probe`) and go (`remove`), one at a time. */
export class GroupTable {
  private readonly idOf = new Map<string, number>();
  private readonly membersOf = new Map<number, Set<string>>();
  /** No number below this one is free. */
  private firstFree = 0;
  private topology: Topology;
  private acs: AcsJudge;
  private scope: (f: PciFunction) => boolean;

  constructor(
    topology: Topology,
    private readonly options: GroupingOptions = {},
    /** Groups that there are already. */
    groups: Iterable<Group> = [],
  ) {
    this.topology = topology;
    this.acs = this.judge();
    this.scope = options.scope ?? inIommuScope(topology);
    for (const { id, devices } of groups) {
      this.membersOf.set(id, new Set(devices));
      for (const bdf of devices) this.idOf.set(bdf, id);
    }
  }

  /** Follows a hot-plug: `next` is the machine from now on. Members that are gone leave; nobody else moves. */
  replug(next: Topology): void {
    for (const bdf of [...this.idOf.keys()]) if (!next.get(bdf)) this.remove(bdf);
    this.topology = next;
    this.acs = this.judge();
    this.scope = this.options.scope ?? inIommuScope(next);
  }

  /** Puts a function into its group and returns the number; null when it is unknown or outside IOMMU scope. */
  probe(bdf: string): number | null {
    const f = this.topology.get(bdf);
    if (!f || !this.scope(f)) return null;
    const id = this.idOf.get(f.bdf) ?? this.findGroup(f) ?? this.lowestFreeId();
    this.idOf.set(f.bdf, id);
    const members = this.membersOf.get(id);
    if (members) members.add(f.bdf);
    else this.membersOf.set(id, new Set([f.bdf]));
    return id;
  }

  /** Takes a function out; the number of an emptied group is free again. */
  remove(bdf: string): void {
    const id = this.idOf.get(bdf);
    if (id === undefined) return;
    this.idOf.delete(bdf);
    const members = this.membersOf.get(id);
    members?.delete(bdf);
    if (members?.size !== 0) return;
    this.membersOf.delete(id);
    this.firstFree = Math.min(this.firstFree, id);
  }

  groupOf(bdf: string): number | null {
    return this.idOf.get(bdf) ?? null;
  }

  /** All groups, sorted by number. */
  groups(): Group[] {
    const byId = new Map<number, string[]>([...this.membersOf.keys()].sort((a, b) => a - b).map((id) => [id, []]));
    for (const f of this.topology.functions) byId.get(this.idOf.get(f.bdf) ?? -1)?.push(f.bdf);
    return [...byId].map(([id, devices]) => ({ id, devices }));
  }

  private judge(): AcsJudge {
    return new AcsJudge(this.topology, this.options.profile ?? DEFAULT_PROFILE, this.options.acsControl ?? 'recorded');
  }

  private lowestFreeId(): number {
    while (this.membersOf.has(this.firstFree)) this.firstFree++;
    return this.firstFree;
  }

  /** The order of these steps is the kernel's: the first group found decides. */
  private findGroup(f: PciFunction): number | undefined {
    let top = f;
    for (const alias of dmaAliases(this.topology, f)) {
      top = alias;
      const id = this.idOf.get(alias.bdf);
      if (id !== undefined) return id;
    }
    for (const bridge of this.topology.bridgesAbove(top)) {
      if (this.acs.isolatesPath(bridge)) break;
      top = bridge;
      const id = this.idOf.get(bridge.bdf);
      if (id !== undefined) return id;
    }
    const visited = new Set<number>();
    return this.groupOfAliases(top, visited) ?? this.groupOfSlot(top, visited);
  }

  /** Group of `f` or of any function of its bus that aliases it, transitively; each devfn is looked at once. (A1.5) */
  private groupOfAliases(f: PciFunction, visited: Set<number>): number | undefined {
    if (visited.has(devfnOf(f))) return undefined;
    visited.add(devfnOf(f));
    const own = this.idOf.get(f.bdf);
    if (own !== undefined) return own;
    for (const other of this.topology.onBus(f)) {
      if (other.bdf === f.bdf || !areDmaAliases(f, other)) continue;
      const id = this.groupOfAliases(other, visited) ?? this.groupOfSlot(other, visited);
      if (id !== undefined) return id;
    }
    return undefined;
  }

  /** Group of any other function of the slot when neither it nor `f` is isolated. (A1.6) */
  private groupOfSlot(f: PciFunction, visited: Set<number>): number | undefined {
    if (!f.multifunction || this.acs.isolates(f)) return undefined;
    for (const other of this.topology.onBus(f)) {
      if (other.bdf === f.bdf || other.dev !== f.dev || this.acs.isolates(other)) continue;
      const id = this.groupOfAliases(other, visited);
      if (id !== undefined) return id;
    }
    return undefined;
  }
}

export interface ComputeOptions extends GroupingOptions {
  /** BDFs in the order the kernel probes them; default: the machine's recorded IOMMU unit order, else by address. */
  readonly probeOrder?: readonly string[];
}

/** The groups of a kernel that brings functions to their IOMMU one by one, when a driver first meets them; `met`: BDFs in order. */
export function groupsInOrder(topology: Topology, met: readonly string[], options: GroupingOptions = {}): Group[] {
  const table = new GroupTable(topology, options);
  for (const bdf of met) table.probe(bdf);
  return table.groups();
}

/** The groups a kernel makes when it starts on this machine, sorted by number. */
export function computeGroups(topology: Topology, options: ComputeOptions = {}): Group[] {
  const order = options.probeOrder
    ? completeProbeOrder(topology, options.probeOrder)
    : unitProbeOrder(topology, topology.unitOrder);
  const table = new GroupTable(topology, options);
  for (const bdf of order) table.probe(bdf);
  return table.groups();
}
