/**
 * The core of the iommu service: who translates through which domain, and what every DMA meets.
 *
 * Words: a group is *owned* while it is not in the kernel's domain; a *flush* is what makes a cleared entry unusable.
 * Rule: a state change is done at once and in full, and its answer waits for the flush: entries are cleared, DMAs that
 * were translated before have landed, then the caller hears of it and may unpin (I05, I52).
 */
import {
  BLOCKING,
  type ByteReader,
  type ByteWriter,
  type Core,
  implement,
  iommuApi,
  KERNEL,
  MAX_RUNS,
  MOCK_UNIT,
  methodTable,
  type Op,
  type ReservedRegion,
  type Run,
  type Span,
  type View,
  type ArgsOf,
  type DomainInfo,
  type UserData,
} from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import { checkUnit, describeUnit, figuresOf } from './inspect.js';
import { decodeState, encodeMeaning, encodeSnapshot } from './state-codec.js';
import { invalidated, setDeaf } from './ats-timeout.js';
import { Dma } from './dma.js';
import { refusalOf, tracksDirty } from './attachment.js';
import { type Domain, Domains, MAX_DOMAINS } from './domain.js';
import { type Format, SOFTWARE } from './formats.js';
import { carryDoorbell, deliverMessage, prepareMessages } from './doorbell.js';
import { access, operate } from './endpoint-errors.js';
import { tableFor } from './kinds.js';
import { MOCK_HWPT_FLAGS, mockFormat, mockFormatFor } from './mock.js';
import { FRAME_LIMIT, type PageTable } from './page-table.js';
import { READ, WRITE } from './table-pool.js';
import { type Group, type IommuFunction, Unit } from './unit.js';
import { dmaUnprotected } from './unprotected.js';
import { leafRuns } from './runs.js';
import { UserTables } from './user-tables.js';

export interface IommuLimits {
  /** Domain ids, 0 included; the kind's own number when left out. */
  readonly domainIds?: number;
  /** Page tables of one domain. */
  readonly tables?: number;
}

type Args<M extends keyof typeof iommuApi> = ArgsOf<(typeof iommuApi)[M]>;

export class IommuCore implements Core {
  readonly service = 'iommu';
  readonly methods = methodTable(
    implement(iommuApi, {
      configure: (_req, args) => this.unit.configure(args),
      setup: (_req, { kind, functions }) => this.unit.setup(kind, functions),
      remove: (_req, { bdf }) => this.unit.remove(bdf),
      domainAlloc: (_req, args) => this.domainAlloc(args),
      windowsAlloc: (_req, { bdf }) => this.windowsAlloc(bdf),
      softwareAlloc: () => this.softwareAlloc(),
      dmaUnprotected: (_req, args) => dmaUnprotected(this.unit, args),
      endpointOp: (_req, args) => operate(this.unit, args),
      endpointAccess: (_req, args) => access(this.unit, args),
      domainFree: (_req, { domain }) => this.domainFree(domain),
      attach: (_req, { bdfs, domain, faults }) => this.attach(bdfs, domain, faults ?? false),
      reservedRegions: (_req, { bdf }) => this.reservedRegions(bdf),
      map: (_req, args) => this.map(args),
      unmap: (_req, { domains, spans }) => this.unmap(domains, spans),
      dma: (_req, args) => this.dma.start(args),
      faults: (_req, { bdf }) => [...(this.unit.functions.get(bdf)?.faults ?? [])],
      hardwareInfo: (_req, { bdf, type }) => this.users.hardwareInfo(bdf, type),
      lookup: (_req, args) => this.users.lookup(args),
      dirtyTracking: (_req, { domain, enable }) => this.users.dirtyTracking(domain, enable),
      dirtyRead: (_req, args) => this.users.dirtyRead(args),
      dirtyMark: (_req, args) => this.users.dirtyMark(args),
      nestedAlloc: (_req, args) => this.users.nestedAlloc(args),
      invalidate: (_req, args) => this.users.invalidate(args),
      mockAdd: (_req, { flags, amdTables }) => this.users.mockAdd(flags, amdTables),
      mockRemove: (_req, { bdf }) => this.unit.removeMock(bdf),
      mockCache: (_req, { bdf }) => [...(this.unit.functions.get(bdf)?.mock?.cache ?? [])],
      pasidAttach: (_req, args) => this.users.pasidAttach(args),
      pasidDomain: (_req, { bdf, pasid }) => this.unit.functions.get(bdf)?.pasids.get(pasid)?.domain ?? BLOCKING,
      invalidateDevices: (_req, args) => this.users.invalidateDevices(args),
      park: (_req, { bdf, over }) => this.unit.park(bdf, over),
      atsTimeout: (_req, { bdf, ms }) => setDeaf(this.unit, bdf, ms),
      pageFlood: (_req, args) => this.dma.flood(args),
      deviceIommu: (_req, { bdf }) => this.users.deviceIommu(bdf),
      pageResponse: (_req, args) => this.users.pageResponse(args),
      msiPrepare: (_req, { bdf }) => this.msiPrepare(bdf),
      msi: (_req, { bdf }) => this.msi(bdf),
      enforcesCoherency: (_req, { bdf }) => this.enforcesCoherency(bdf),
      mockIotlb: (_req, { domain }) => [...(this.domains.get(domain)?.nested?.iotlb ?? [])],
    }),
  );
  private readonly unit = new Unit();
  private readonly domains: Domains;
  private readonly dma: Dma;
  private readonly users: UserTables;

  constructor(private readonly limits: IommuLimits = {}) {
    this.domains = new Domains(limits.tables);
    this.dma = new Dma(this.unit, this.domains);
    this.users = new UserTables(this.unit, this.domains);
  }

  join(): void {}

  encode(w: ByteWriter, view: View): void {
    if (view === 'snapshot') encodeSnapshot(w, this.unit, this.domains);
    else encodeMeaning(w, this.unit, this.domains);
  }

  decode(r: ByteReader): void {
    decodeState(r, this.unit, this.domains);
  }

  check(): string[] {
    return checkUnit(this.unit, this.domains);
  }

  describe(): string[] {
    return describeUnit(this.unit, this.domains);
  }

  /** Physical memory that domains of users let devices reach: bytes from an address on. */
  *reachable(): Generator<{ readonly domain: number; readonly address: number; readonly length: number }> {
    for (const { id, table, format } of this.domains.sorted()) {
      const granule = 2 ** format.granule;
      for (const { frame, count } of leafRuns(table))
        yield { domain: id, address: frame * granule, length: count * granule };
    }
  }

  /** What a domain shows: granules in all, and the frame at one of them, or -1. Undefined: there is no such domain. */
  shown(id: number): { readonly mapped: number; frameAt(granule: number): number } | undefined {
    const table = this.domains.get(id)?.table;
    return table && { mapped: table.mapped, frameAt: (granule) => table.lookup(granule) };
  }

  /** Where a group's requests go: a domain, BLOCKING or KERNEL; undefined: there is no such group. */
  attachment(group: number): number | undefined {
    return this.unit.groups.get(group)?.attached;
  }

  /** The paging domain that a function's DMA goes through; undefined: none, or a guest's table is before it. */
  through(bdf: string, pasid: number | undefined): number | undefined {
    const device = this.unit.functions.get(bdf);
    const own = pasid === undefined ? undefined : device?.pasids.get(pasid)?.domain;
    const domain = device && this.domains.get(own ?? device.group.attached);
    return domain && !domain.nested ? domain.id : undefined;
  }

  /** Does the domain collect dirty bits? */
  tracks(domain: number): boolean {
    return this.domains.get(domain)?.tracking ?? false;
  }

  /** Page requests that stand. */
  pageRequests(): { readonly bdf: string; readonly request: number }[] {
    return this.unit
      .sortedFunctions()
      .flatMap(({ bdf, requests }) => [...requests.keys()].map((request) => ({ bdf, request })));
  }

  /** Domains of users. */
  domainIds(): number[] {
    return this.domains.sorted().map(({ id }) => id);
  }

  figures(): Record<string, number> {
    return figuresOf(this.unit, this.domains);
  }

  /** EINVAL: no such device. ENODEV: nothing translates for it. EOPNOTSUPP: flags (b091, c007), or DMA windows (p070). ENOSPC: no id left. */
  private domainAlloc({ bdf, flags, data }: Args<'domainAlloc'>): Result<DomainInfo> {
    const device = this.unit.functions.get(bdf);
    if (!device) return fail('EINVAL');
    if (!device.mock && !this.unit.driver) return fail('ENODEV');
    const chosen = device.mock ? mockFormatWith(device, flags, data) : this.tableFor(device, flags, data);
    if (!chosen.ok) return chosen;
    const format = chosen.value;
    const { unit } = device.endpoint;
    const coherent = !device.mock && this.unit.isCoherent(device);
    const domain = this.domains.make(this.limits.domainIds ?? MAX_DOMAINS, { format, flags, unit, coherent });
    if (!domain) return fail('ENOSPC');
    const { granule, first, last, pageSizes } = format;
    const owner = device.mock ? MOCK_UNIT : unit;
    return ok({ domain: domain.id, granule, first, last, pageSizes, coherent, unit: owner });
  }

  private enforcesCoherency(bdf: string): boolean {
    const device = this.unit.functions.get(bdf);
    return device !== undefined && this.unit.isCoherent(device);
  }

  private windowsAlloc(bdf: string): Result<DomainInfo> {
    const device = this.unit.functions.get(bdf);
    const format = this.unit.driver?.windows;
    if (!device || !format) return fail('ENODEV');
    const { unit } = device.endpoint;
    const domain = this.domains.make(this.limits.domainIds ?? MAX_DOMAINS, { format, flags: 0, unit });
    if (!domain) return fail('ENOSPC');
    const { granule, first, last, pageSizes } = format;
    return ok({ domain: domain.id, granule, first, last, pageSizes, coherent: false, unit });
  }

  private softwareAlloc(): Result<DomainInfo> {
    const format = SOFTWARE;
    const domain = this.domains.make(this.limits.domainIds ?? MAX_DOMAINS, { format, flags: 0 });
    if (!domain) return fail('ENOSPC');
    const { granule, first, last, pageSizes } = format;
    return ok({ domain: domain.id, granule, first, last, pageSizes, coherent: false, unit: 0 });
  }

  /** Drivers of real IOMMUs take no data for a paging domain. */
  private tableFor({ endpoint }: IommuFunction, flags: number, data: UserData | undefined): Result<Format> {
    const driver = this.unit.driver!;
    const format = data ? undefined : tableFor(driver, flags);
    if (!format) return fail('EOPNOTSUPP');
    const { unit } = endpoint;
    const full = driver.idsAt === 'alloc' && this.domains.madeFor(unit) >= this.unit.domainIdsOf(unit);
    return full ? fail('ENOSPC') : ok(format);
  }

  /** EINVAL: no such domain. EBUSY: a group is attached, or a nested domain stands on it. */
  private domainFree(id: number): Result<void> | Op<Result<void>> {
    const domain = this.domains.get(id);
    if (!domain) return fail('EINVAL');
    if (domain.attached > 0 || this.domains.on(id).length > 0) return fail('EBUSY');
    this.domains.retire(domain);
    return this.reclaim(domain);
  }

  private *reclaim(domain: Domain): Op<Result<void>> {
    yield* invalidated(this.unit, this.domains, [domain]);
    this.domains.reclaim(domain);
    return ok(undefined);
  }

  /**
   * Answers when translations of the old domain are used up. EINVAL: not the devices of one group, no such domain, or one
   * that a device does not fit; EBUSY: a device is being reset; ENODEV, ENOSPC as `refusalOf`.
   */
  private attach(bdfs: readonly string[], to: number, faults: boolean): Result<void> | Op<Result<void>> {
    const group = this.unit.groupOf(bdfs);
    if (!group || (to > BLOCKING ? !this.domains.get(to) : to !== BLOCKING && to !== KERNEL)) return fail('EINVAL');
    const next = this.domains.get(to);
    if (next && this.unit.isResetting(group)) return fail('EBUSY');
    const devices = this.unit.membersOf(group);
    const refused = next && refusalOf(this.unit, devices, next, { faults, leaving: group });
    if (refused) return fail(refused);
    const from = this.domains.get(group.attached);
    this.moveGroup(group, to, faults);
    carryDoorbell(this.unit, this.domains, group);
    return this.users.moved(from, devices, 0);
  }

  /** The whole group is in the new domain from here on: there is no moment without translation (semantics C1.3). */
  private moveGroup(group: Group, to: number, faults: boolean): void {
    const from = this.domains.get(group.attached);
    const next = this.domains.get(to);
    if (from) from.attached--;
    if (next) next.attached++;
    group.attached = to;
    group.faults = faults;
  }

  /** ENODEV: no such function. ENOSPC: see doorbell.ts. */
  private msiPrepare(bdf: string): Result<void> {
    const device = this.unit.functions.get(bdf);
    return device ? prepareMessages(this.unit, this.domains, device) : fail('ENODEV');
  }

  private *msi(bdf: string): Op<boolean> {
    const device = this.unit.functions.get(bdf);
    return !device || (yield* deliverMessage(this.unit, device, (iova) => this.dma.message(bdf, iova)));
  }

  private reservedRegions(bdf: string): ReservedRegion[] {
    const device = this.unit.functions.get(bdf);
    return device && !device.mock ? [...(this.unit.driver?.reserved ?? [])] : [];
  }

  /**
   * All domains or none. EINVAL: no such domain, prot, frame or IOVA. EEXIST: something is mapped there (as the kernel's
   * page table code answers). ENOMEM: no more tables.
   */
  private map({ domains: ids, iova, runs, prot, small }: Args<'map'>): Result<void> {
    const domains = this.domains.getAll(ids);
    const count = countOf(runs);
    if (
      !domains ||
      domains.some((d) => iova + count > d.endPage) ||
      count < 0 ||
      domains.some((d) => prot === 0 && !d.format.takesNoPermission) ||
      (prot & ~(READ | WRITE)) !== 0
    )
      return fail('EINVAL');
    if (domains.some((d) => !d.table.isFree(iova, count))) return fail('EEXIST');
    for (const [i, domain] of domains.entries()) {
      if (mapRuns(domain.table, iova, runs, prot, small ? 0 : domain.topLevel)) continue;
      for (const done of domains.slice(0, i + 1)) done.table.unmap(iova, count);
      return fail('ENOMEM');
    }
    return ok(undefined);
  }

  /** Domains that do not exist have nothing to clear. */
  private *unmap(ids: readonly number[], spans: readonly Span[]): Op<void> {
    const domains = ids.map((id) => this.domains.get(id)).filter((d): d is Domain => d !== undefined);
    for (const { table, id } of domains) {
      for (const { iova, count } of spans) table.unmap(iova, count);
      for (const { nested } of this.domains.on(id)) nested!.guest?.parentChanged();
    }
    yield* invalidated(this.unit, this.domains, domains);
  }
}

/** Granules of the runs together, or -1 when one of them cannot be. */
function countOf(runs: readonly Run[]): number {
  if (runs.length > MAX_RUNS || runs.some((r) => r.count < 1 || r.frame + r.count > FRAME_LIMIT)) return -1;
  return runs.reduce((sum, r) => sum + r.count, 0);
}

/** The mock's format, by its data. EOPNOTSUPP, EINVAL, EFAULT. */
function mockFormatWith(device: IommuFunction, flags: number, data: UserData | undefined): Result<Format> {
  const chosen = data ? mockFormatFor(data) : ok(mockFormat(device.mock!.flags));
  if (!chosen.ok) return chosen;
  return flags & ~MOCK_HWPT_FLAGS || !tracksDirty(device, flags) ? fail('EOPNOTSUPP') : chosen;
}

function mapRuns(table: PageTable, iova: number, runs: readonly Run[], prot: number, topLevel: number): boolean {
  for (const { frame, count } of runs) {
    if (!table.map(iova, frame, count, prot, topLevel)) return false;
    iova += count;
  }
  return true;
}
