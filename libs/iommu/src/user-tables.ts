/**
 * What users do with tables beyond mapping: nested tables and their caches, dirty bits, PASIDs, and the self-test's devices.
 *
 * Rule: everything here works on the tables that DMA goes through; what a driver alone knows is in its own file.
 */
import {
  type ArgsOf,
  BLOCKING,
  DOMAIN_PASID,
  type HardwareInfo,
  type iommuApi,
  MAX_DIRTY,
  MAX_RUNS,
  MOCK_UNIT,
  type Op,
  type ReplyOf,
  type Run,
} from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import { invalidated } from './ats-timeout.js';
import { refusalOf } from './attachment.js';
import { markDirtyBits, readDirty, readDirtyPages } from './dirty.js';
import { type Domain, type Domains, MAX_DOMAINS } from './domain.js';
import { type IommuFunction, infoOf, pasidEnd } from './function.js';
import { type Invalidated, type Invalidations, invalidateSmmu, invalidateVtd } from './guest-invalidate.js';
import { NO_INFO } from './hardware-info.js';
import { accepts, knownMockFlags, MOCK_AMD_TABLES, MOCK_VIOMMU } from './mock.js';
import { invalidate, invalidateDevices, type Nested, nestedOf, smmuTable, vtdTable } from './nested.js';
import { answerRequest, giveUpRequests } from './page-requests.js';
import type { Unit } from './unit.js';

type Args<M extends keyof typeof iommuApi> = ArgsOf<(typeof iommuApi)[M]>;

export class UserTables {
  constructor(
    private readonly unit: Unit,
    private readonly domains: Domains,
  ) {}

  /** EOPNOTSUPP: the driver has no such data or flags. EINVAL: parent, length. EIO: content. EFAULT. ENOSPC. */
  nestedAlloc({ bdf, ...args }: Args<'nestedAlloc'>): Result<{ domain: number; needsId: boolean }> {
    const device = this.unit.functions.get(bdf);
    const parent = this.domains.get(args.parent);
    if (!device) return fail('EINVAL');
    const made = device.mock ? mockNested(args, parent) : this.guestNested(args, parent);
    if (!made.ok) return made;
    const nested = made.value;
    const { format } = parent!;
    const domain = this.domains.make(MAX_DOMAINS, { format, flags: args.flags, nested, unit: parent!.unit });
    if (!domain) return fail('ENOSPC');
    return ok({ domain: domain.id, needsId: args.viommu && (nested.guest?.needsId ?? true) });
  }

  private guestNested(args: Omit<Args<'nestedAlloc'>, 'bdf'>, parent: Domain | undefined): Result<Nested> {
    const { driver } = this.unit;
    if (!driver || (!args.viommu && !driver.nestsOnHwpt)) return fail('EOPNOTSUPP');
    if (!parent || !args.usable) return fail('EINVAL');
    if (driver.guestTable !== (args.viommu ? 'smmu' : 'vtd')) return fail('EOPNOTSUPP');
    if (args.flags & ~(args.viommu ? 0 : DOMAIN_PASID)) return fail('EOPNOTSUPP');
    const guest = args.viommu ? smmuTable(args.data) : vtdTable(args.data);
    return guest.ok ? ok({ parent: parent.id, iotlb: [], guest: guest.value }) : guest;
  }

  /** EOPNOTSUPP: a table whose invalidations go to its virtual IOMMU. */
  invalidate({ domain: id, ...array }: Args<'invalidate'>): Invalidation {
    const domain = this.domains.get(id);
    const nested = domain?.nested;
    if (!nested) return { done: 0, outcome: fail('EINVAL') };
    if (nested.guest?.format === 'smmu') return { done: 0, outcome: fail('EOPNOTSUPP') };
    const told = nested.guest ? invalidateVtd(nested.guest, array) : invalidate(nested, array);
    return nested.guest ? this.landedAll([domain!], told) : outcomeOf(told);
  }

  hardwareInfo(bdf: string, type: number): HardwareInfo {
    const device = this.unit.functions.get(bdf);
    return device ? infoOf(device, this.unit.driver, type) : { ...NO_INFO, capabilities: 0n, maxPasidLog2: 0 };
  }

  deviceIommu(bdf: string): ReplyOf<typeof iommuApi.deviceIommu> {
    const device = this.unit.functions.get(bdf);
    if (device?.mock) return { unit: MOCK_UNIT, viommus: [MOCK_VIOMMU] };
    return { unit: device?.endpoint.unit ?? 0, viommus: [...(this.unit.driver?.viommus ?? [])] };
  }

  /**
   * A PASID of the device to a domain, or to BLOCKING. EBUSY: a device of the group is being reset; EINVAL: no such PASID or
   * domain, or one that does not fit; ENODEV: no page requests; ENOSPC; ENOMEM: the mock's made-up failure.
   */
  pasidAttach({ bdf, pasid, domain: to, faults = false }: Args<'pasidAttach'>): Result<void> | Op<Result<void>> {
    const device = this.unit.functions.get(bdf);
    const next = this.domains.get(to);
    if (device && next && this.unit.isResetting(device.group)) return fail('EBUSY');
    if (!device || pasid >= pasidEnd(device, this.unit.driver) || (to !== BLOCKING && !next)) return fail('EINVAL');
    if (device.mock && !accepts(device.mock, pasid, to)) return fail('ENOMEM');
    const refused = next && refusalOf(this.unit, [device], next, { faults });
    if (refused) return fail(refused);
    const from = this.domains.get(device.pasids.get(pasid)?.domain ?? BLOCKING);
    if (from) from.attached--;
    if (next) next.attached++;
    if (next) device.pasids.set(pasid, { domain: to, faults });
    else device.pasids.delete(pasid);
    return this.moved(from, [device], pasid);
  }

  /** Of a virtual IOMMU: the mock's are caches of devices, an SMMU's the tables over its parent. */
  invalidateDevices({ devices, parent, ...array }: Args<'invalidateDevices'>): Invalidation {
    if (this.unit.driver) return this.invalidateGuests(this.domains.on(parent), devices, array);
    const caches = new Map(devices.map(({ virtId, bdf }) => [virtId, this.unit.functions.get(bdf)?.mock?.cache ?? []]));
    return outcomeOf(invalidateDevices(caches, array));
  }

  private invalidateGuests(
    all: readonly Domain[],
    devices: Args<'invalidateDevices'>['devices'],
    array: Invalidations,
  ): Invalidation {
    const byStream = (id: number): readonly Domain[] | undefined => {
      const bdf = devices.find(({ virtId }) => virtId === BigInt(id))?.bdf;
      const attached = bdf === undefined ? undefined : this.unit.functions.get(bdf)?.group.attached;
      return attached === undefined ? undefined : all.filter((d) => d.id === attached);
    };
    return this.landedAll(all, invalidateSmmu({ all, byStream }, array));
  }

  pageResponse({ bdf, request, success }: Args<'pageResponse'>): Op<void> {
    return answerRequest(this.unit.functions.get(bdf), request, success);
  }

  /** EINVAL: unknown flags, or a real IOMMU is active (SURPRISES 49). */
  mockAdd(flags: number, amdTables: boolean): Result<{ bdf: string; group: number }> {
    const made = knownMockFlags(flags) ? this.unit.addMock(flags | (amdTables ? MOCK_AMD_TABLES : 0)) : undefined;
    return made ? ok({ bdf: made.bdf, group: made.group.id }) : fail('EINVAL');
  }

  lookup({ domain, iova, count }: Args<'lookup'>): Run[] {
    const table = this.domains.get(domain)?.table;
    const runs: { frame: number; count: number }[] = [];
    for (let i = 0; table && i < count && runs.length < MAX_RUNS; i++) {
      const frame = table.lookup(iova + i);
      if (frame < 0) break;
      const last = runs[runs.length - 1];
      if (last && last.frame + last.count === frame) last.count++;
      else runs.push({ frame, count: 1 });
    }
    return runs;
  }

  /** Starting is a clean slate, also when it had been started (semantics C5.2). EOPNOTSUPP: made without dirty tracking. */
  dirtyTracking(id: number, enable: boolean): Result<void> {
    const domain = this.domains.get(id);
    if (!domain?.tracksDirty) return fail('EOPNOTSUPP');
    if (enable) domain.table.clearAllDirty();
    domain.tracking = enable;
    return ok(undefined);
  }

  dirtyRead({ domain: id, iova, count, clear }: Args<'dirtyRead'>): Uint8Array | Op<Uint8Array> {
    const domain = this.domains.get(id);
    if (!domain || count > MAX_DIRTY) return new Uint8Array(0);
    if (!domain.tracking) return new Uint8Array(Math.ceil(count / 8));
    const read = domain.format.joinsHalves ? readDirtyPages : readDirty;
    const bitmap = read(domain.table, iova, count, clear);
    return clear ? this.flushed(domain, bitmap) : bitmap;
  }

  /** EINVAL: no such domain, or it does not track. */
  dirtyMark({ domain: id, first, bitmap }: Args<'dirtyMark'>): Result<number> {
    const domain = this.domains.get(id);
    return domain?.tracking ? ok(markDirtyBits(domain.table, first, bitmap)) : fail('EINVAL');
  }

  private *flushed(domain: Domain, bitmap: Uint8Array): Op<Uint8Array> {
    yield* invalidated(this.unit, this.domains, [domain]);
    return bitmap;
  }

  /** The answer, when what was translated through the domains before has landed (I52). */
  private *landedAll(domains: readonly Domain[], told: Invalidated): Op<ReplyOf<typeof iommuApi.invalidate>> {
    yield* invalidated(this.unit, this.domains, domains);
    return outcomeOf(told);
  }

  /** Answers when what was translated through the domain before has landed, and nobody waits for its pages. */
  *moved(from: Domain | undefined, devices: readonly IommuFunction[], pasid: number): Op<Result<void>> {
    yield* giveUpRequests(devices, pasid);
    if (from) yield* invalidated(this.unit, this.domains, [from], devices);
    return ok(undefined);
  }
}

type Invalidation = ReplyOf<typeof iommuApi.invalidate> | Op<ReplyOf<typeof iommuApi.invalidate>>;

const outcomeOf = ({ done, errno }: Invalidated): ReplyOf<typeof iommuApi.invalidate> => ({
  done,
  outcome: errno ? fail(errno) : ok(undefined),
});

function mockNested(args: Omit<Args<'nestedAlloc'>, 'bdf'>, parent: Domain | undefined): Result<Nested> {
  if (!args.usable) return fail('EINVAL');
  return nestedOf(args.data, parent?.nested ? undefined : parent?.id, args.known);
}
