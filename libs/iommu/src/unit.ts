/**
 * The functions behind a host's IOMMU, their groups, and where each group's requests go.
 *
 * Words: a group is *attached* to a domain id, to BLOCKING or to KERNEL (the kernel's own domain); a *unit* is one IOMMU of
 * the machine, which may have several of one kind.
 * Rule: the attachment of the requester id belongs to the group, so the functions of one group cannot differ in it (I08); a
 * function that appears later joins its group where the group is. A PASID belongs to its function.
 */
import { type ArgsOf, BLOCKING, type FaultRecord, type iommuApi, type IommuUnit, KERNEL } from '@vfiolab/core';
import type { Trap } from './endpoint-errors.js';
import { type Endpoint, NO_ENDPOINT, newFunction, type IommuFunction } from './function.js';
import { type Kind, kindOf } from './kinds.js';
import { MAX_MOCKS, MOCK_GROUPS, mockDevice, mockName } from './mock.js';
import { type DriverFlags, driverFlagsOf } from './profile-flags.js';
import { type MsiWindow, msiWindowsOf } from './translate.js';

export { type IommuFunction } from './function.js';

/** Fault records kept for each function; the oldest goes first. */
export const MAX_FAULTS = 256;
/** Functions behind one IOMMU; those beyond stay unknown, and their DMA is refused. */
export const MAX_FUNCTIONS = 65536;

export interface Group {
  readonly id: number;
  /** BDFs, sorted. */
  readonly members: string[];
  attached: number;
  /** A user answers page requests of the attachment. */
  faults: boolean;
  /** A member has allocated vectors: the doorbell goes where the group goes. */
  doorbell: boolean;
  /** Of a PE: PE_*, and the injected error that waits; see endpoint-errors.ts. */
  frozen: number;
  trap: Trap;
}

type Functions = ArgsOf<typeof iommuApi.setup>['functions'];
type Configuration = ArgsOf<typeof iommuApi.configure>;

export class Unit {
  /** The IOMMU's kind; empty before the first setup. */
  kind = '';
  profile = '6.12';
  /** log2 of the kernel's page in bytes. */
  pageShift = 12;
  driver: Kind | undefined;
  units: IommuUnit[] = [];
  msi: readonly MsiWindow[] = [];
  readonly functions = new Map<string, IommuFunction>();
  readonly groups = new Map<number, Group>();
  /** DMAs of functions that have no IOMMU, by function: nobody looked at where they went (semantics A4.4). */
  readonly unprotected = new Map<string, number>();
  /** Functions that left, or still leave, invalidations unanswered: see ats-timeout.ts. */
  readonly deaf = new Set<IommuFunction>();
  /** Functions that bring something, or are behind another unit than the first. */
  readonly endpoints = new Map<string, Endpoint>();

  /** Once, before `setup`; later only functions that appear then (SR-IOV). */
  configure({ profile, units, endpoints, pageShift }: Configuration): void {
    if (this.kind === '') {
      this.profile = profile;
      this.pageShift = pageShift ?? 12;
      this.units = units;
    }
    for (const each of endpoints.slice(0, MAX_FUNCTIONS - this.endpoints.size)) this.endpoints.set(each.bdf, each);
  }

  /** The first setup decides the kind; a later one of the same kind adds functions (SR-IOV), any other does nothing. */
  setup(kind: string, functions: Functions): void {
    if (this.kind === '') this.become(kind);
    if (kind !== this.kind) return;
    for (const { bdf, group } of functions) this.place(bdf, group);
  }

  get flags(): DriverFlags {
    return driverFlagsOf(this.profile, this.pageShift);
  }

  become(kind: string): void {
    this.kind = kind;
    this.driver = kindOf(kind, this.flags);
    this.msi = msiWindowsOf(this.driver?.reserved ?? []);
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
    else this.functions.set(bdf, newFunction(bdf, group, this.endpoints.get(bdf) ?? NO_ENDPOINT));
  }

  /** A new mock device, blocked in a group of its own. Undefined: an IOMMU is active, or there are too many. */
  addMock(flags: number): IommuFunction | undefined {
    if (this.driver) return undefined;
    let n = 0;
    while (this.functions.has(mockName(n))) n++;
    return n < MAX_MOCKS ? this.restoreMock(mockName(n), MOCK_GROUPS + n, flags) : undefined;
  }

  restoreMock(bdf: string, groupId: number, flags: number): IommuFunction {
    const group = this.group(groupId);
    group.members.push(bdf);
    group.attached = BLOCKING;
    const made: IommuFunction = { ...newFunction(bdf, group, NO_ENDPOINT), mock: mockDevice(flags) };
    this.functions.set(bdf, made);
    return made;
  }

  /** Forgets a mock device, which nothing is attached to. */
  removeMock(bdf: string): void {
    const found = this.functions.get(bdf);
    if (!found?.mock || found.group.attached > BLOCKING || found.pasids.size > 0)
      throw new Error(`${bdf} is no mock device at rest`);
    this.functions.delete(bdf);
    this.leave(found);
  }

  /** A function is gone (SR-IOV): its driver has left it, so nothing of its own is attached. */
  remove(bdf: string): void {
    const found = this.functions.get(bdf);
    if (!found || found.mock) return;
    this.functions.delete(bdf);
    this.endpoints.delete(bdf);
    this.leave(found);
    this.deaf.delete(found);
    found.heard.raise();
  }

  /**
   * The group that the named functions are members of, each named once; undefined for any other list. Functions that came
   * since the caller heard of the group move with it, and those that are gone are not missed (SR-IOV).
   */
  groupOf(bdfs: readonly string[]): Group | undefined {
    const groups = new Set(bdfs.flatMap((bdf) => this.functions.get(bdf)?.group ?? []));
    if (groups.size !== 1 || new Set(bdfs).size !== bdfs.length) return undefined;
    return [...groups][0];
  }

  membersOf({ members }: Group): IommuFunction[] {
    return members.map((bdf) => this.functions.get(bdf)!);
  }

  countUnprotected(bdf: string): void {
    const count = this.unprotected.get(bdf);
    if (count === undefined && this.unprotected.size >= MAX_FUNCTIONS) return;
    this.unprotected.set(bdf, (count ?? 0) + 1);
  }

  /** Is a member of the group being reset? */
  isResetting(group: Group): boolean {
    return this.membersOf(group).some(({ parked }) => parked);
  }

  /** A function's reset begins, or is over. */
  park(bdf: string, over: boolean): void {
    const found = this.functions.get(bdf);
    if (found) found.parked = !over;
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
    if (!group) this.groups.set(id, (group = newGroup(id)));
    return group;
  }

  /** Does the unit of the function make every access cache-coherent? */
  isCoherent({ endpoint }: IommuFunction): boolean {
    return this.driver?.snoopControl === true && this.units[endpoint.unit]?.snoopControl !== false;
  }

  /** Hardware ids that one unit has for domains of users. */
  domainIdsOf(unit: number): number {
    const own = this.driver?.domainIds ?? 0;
    const limit = this.units[unit]?.domainIds ?? 0;
    return limit === 0 ? own : Math.min(limit, own);
  }

  /** Domains of users that functions of a unit are attached to, that of a group which is leaving its own aside. */
  domainsIn(unit: number, leaving: Group | undefined): Set<number> {
    const found = new Set<number>();
    for (const { group, endpoint, pasids } of this.functions.values()) {
      if (endpoint.unit !== unit) continue;
      if (group !== leaving && group.attached > BLOCKING) found.add(group.attached);
      for (const { domain } of pasids.values()) found.add(domain);
    }
    return found;
  }

  sortedGroups(): Group[] {
    return [...this.groups.values()].sort((a, b) => a.id - b.id);
  }

  /** The domain of every attached PASID. */
  pasidDomains(): number[] {
    return [...this.functions.values()].flatMap(({ pasids }) => [...pasids.values()].map(({ domain }) => domain));
  }

  sortedFunctions(): IommuFunction[] {
    return [...this.functions.keys()].sort().map((bdf) => this.functions.get(bdf)!);
  }

  private leave({ bdf, group }: IommuFunction): void {
    group.members.splice(group.members.indexOf(bdf), 1);
    if (group.members.length === 0) this.groups.delete(group.id);
  }
}

const newGroup = (id: number): Group => ({
  id,
  members: [],
  attached: KERNEL,
  faults: false,
  doorbell: false,
  frozen: 0,
  trap: 'none',
});

/** An attachment in words. */
export const attachmentName = (attached: number): string =>
  attached === KERNEL ? 'kernel' : attached === BLOCKING ? 'blocking' : `domain ${attached}`;
