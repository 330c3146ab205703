/**
 * The functions behind a host's IOMMU, their groups, and where each group's requests go.
 *
 * Words: a group is *attached* to a domain id, to BLOCKING or to KERNEL (the kernel's own domain).
 * Rule: the attachment belongs to the group, so the functions of one group cannot differ in it (I08); a function that
 * appears later joins its group where the group is.
 */
import { type ArgsOf, BLOCKING, type FaultRecord, type iommuApi, KERNEL } from '@vfiolab/core';
import { type Format, formatOf } from './formats.js';
import { MAX_MOCKS, MOCK_GROUPS, mockDevice, type MockDevice, mockFormat, mockName } from './mock.js';
import { type Windows, windowsOf } from './translate.js';

/** Fault records kept for each function; the oldest goes first. */
export const MAX_FAULTS = 256;
/** Functions behind one IOMMU; those beyond stay unknown, and their DMA is refused. */
export const MAX_FUNCTIONS = 65536;

export interface Group {
  readonly id: number;
  /** BDFs, sorted. */
  readonly members: string[];
  attached: number;
}
export interface IommuFunction {
  readonly bdf: string;
  group: Group;
  /** Oldest first. */
  readonly faults: FaultRecord[];
  /** Undefined for a function of the machine. */
  readonly mock?: MockDevice;
}

type Functions = ArgsOf<typeof iommuApi.setup>['functions'];

export class Unit {
  /** The IOMMU's kind; empty before the first setup. */
  kind = '';
  format: Format | undefined;
  windows: Windows = { endPage: 0, msi: [] };
  readonly functions = new Map<string, IommuFunction>();
  readonly groups = new Map<number, Group>();

  /** The first setup decides the kind; a later one of the same kind adds functions (SR-IOV), any other does nothing. */
  setup(kind: string, functions: Functions): void {
    if (this.kind === '') this.become(kind);
    if (kind !== this.kind) return;
    for (const { bdf, group } of functions) this.place(bdf, group);
  }

  become(kind: string): void {
    this.kind = kind;
    this.format = formatOf(kind);
    if (this.format) this.windows = windowsOf(this.format);
  }

  /** Adds a function; one already known moves to the group named now, unless a user owns its group. */
  place(bdf: string, groupId: number): void {
    const known = this.functions.get(bdf);
    if (known && (known.group.id === groupId || known.group.attached !== KERNEL)) return;
    if (!known && this.functions.size >= MAX_FUNCTIONS) return;
    if (known) this.leave(known);
    const group = this.group(groupId);
    group.members.push(bdf);
    group.members.sort();
    if (known) known.group = group;
    else this.functions.set(bdf, { bdf, group, faults: [] });
  }

  /** A new mock device, blocked in a group of its own. Undefined: an IOMMU is active, or there are too many. */
  addMock(flags: number): IommuFunction | undefined {
    if (this.format) return undefined;
    let n = 0;
    while (this.functions.has(mockName(n))) n++;
    return n < MAX_MOCKS ? this.restoreMock(mockName(n), MOCK_GROUPS + n, flags) : undefined;
  }

  restoreMock(bdf: string, groupId: number, flags: number): IommuFunction {
    const group = this.group(groupId);
    group.members.push(bdf);
    group.attached = BLOCKING;
    const made: IommuFunction = { bdf, group, faults: [], mock: mockDevice(flags) };
    this.functions.set(bdf, made);
    return made;
  }

  /** Forgets a mock device, which nothing is attached to. */
  removeMock(bdf: string): void {
    const found = this.functions.get(bdf);
    if (!found?.mock || found.group.attached > BLOCKING || found.mock.pasids.size > 0)
      throw new Error(`${bdf} is no mock device at rest`);
    this.functions.delete(bdf);
    this.leave(found);
  }

  /** How the device's IOMMU translates; undefined: nothing does. */
  formatOf(bdf: string): Format | undefined {
    const mock = this.functions.get(bdf)?.mock;
    return mock ? mockFormat(mock.flags) : this.format;
  }

  /** The group whose members are exactly these, each named once; undefined for any other list. */
  wholeGroup(bdfs: readonly string[]): Group | undefined {
    const group = this.functions.get(bdfs[0] ?? '')?.group;
    if (!group || group.members.length !== bdfs.length) return undefined;
    const named = [...bdfs].sort();
    return named.every((bdf, i) => bdf === group.members[i]) ? group : undefined;
  }

  record(fault: FaultRecord): void {
    const faults = this.functions.get(fault.bdf)?.faults;
    if (!faults) return;
    if (faults.length === MAX_FAULTS) faults.shift();
    faults.push(fault);
  }

  /** The group, made in the kernel's domain when it is new. */
  group(id: number): Group {
    let group = this.groups.get(id);
    if (!group) this.groups.set(id, (group = { id, members: [], attached: KERNEL }));
    return group;
  }

  sortedGroups(): Group[] {
    return [...this.groups.values()].sort((a, b) => a.id - b.id);
  }

  /** The domain of every attached PASID. */
  pasidDomains(): number[] {
    return [...this.functions.values()].flatMap(({ mock }) => [...(mock?.pasids.values() ?? [])]);
  }

  sortedFunctions(): IommuFunction[] {
    return [...this.functions.keys()].sort().map((bdf) => this.functions.get(bdf)!);
  }

  private leave({ bdf, group }: IommuFunction): void {
    group.members.splice(group.members.indexOf(bdf), 1);
    if (group.members.length === 0) this.groups.delete(group.id);
  }
}

/** An attachment in words. */
export const attachmentName = (attached: number): string =>
  attached === KERNEL ? 'kernel' : attached === BLOCKING ? 'blocking' : `domain ${attached}`;
