/**
 * Paging HWPTs: a domain of the IOMMU that follows one IOAS.
 *
 * Words: an *auto* HWPT was made by attaching a device to an IOAS, and goes with its last device; a HWPT made by
 * IOMMU_HWPT_ALLOC stays until it is destroyed.
 * Rule: a domain is in its IOAS's list only while it holds exactly what the IOAS maps (invariant I03).
 */
import { type Fail, fail, ok, type Result } from '@vfiolab/uapi';
import { call, type DomainInfo, IOMMU, iommuApi, Lock, lockWrite, type Op, unlock, type UserData } from '@vfiolab/core';
import type { Context, BoundDevice } from './context.js';
import { clear, fillArea, trimCovers } from './fill.js';
import type { FaultQueue } from './fault-queue.js';
import type { Area, Ioas } from './ioas.js';
import { dismantleNested, type Hwpt } from './nested-hwpt.js';
import type { IommufdObject } from './objects.js';
import { U64_MAX } from './spans.js';

export class PagingHwpt implements IommufdObject {
  readonly type = 'hwpt';
  id = 0;
  users = 1;
  readonly shortTerm = new Lock();
  auto = false;
  fault: FaultQueue | undefined;

  constructor(
    readonly ioas: Ioas,
    readonly domain: DomainInfo,
    /** Flags it was made with, without FAULT_ID_VALID. */
    readonly flags = 0,
    /** Over a mock domain of the self-test. */
    readonly mock = false,
    /** A table that no IOMMU walks, of devices that have none. */
    readonly noiommu = false,
  ) {}

  /** Number at the iommu service. */
  get domainId(): number {
    return this.domain.domain;
  }

  get paging(): this {
    return this;
  }

  get owner(): string {
    return `hwpt:${this.id}`;
  }
}

/** A first attachment that belongs to the making of a HWPT: the kernel attaches before it fills the domain. */
export interface FirstAttach {
  attach(hwpt: PagingHwpt): Op<Result<unknown>>;
  undo(hwpt: PagingHwpt): Op<void>;
}

/**
 * Makes a HWPT for the device and gives it everything the IOAS maps. It has an id, but is not finalized yet.
 * The caller holds the IOAS's mutex. EOPNOTSUPP, ENOMEM, ENOSPC, EINVAL, EADDRINUSE, EFAULT.
 */
export function* makeHwpt(
  context: Context,
  ioas: Ioas,
  device: BoundDevice,
  flags: number,
  first?: FirstAttach,
  data?: UserData,
): Op<Result<PagingHwpt>> {
  const domain = yield* allocDomain(device, flags, data);
  if (!domain.ok) return domain;
  const hwpt = new PagingHwpt(ioas, domain.value, flags, device.mock, device.noiommu);
  const id = context.objects.reserve(hwpt);
  if (!id.ok) return yield* giveUp(hwpt, id);
  ioas.users++;
  const ready = yield* fillNew(ioas, hwpt, first);
  if (ready.ok) return ok(hwpt);
  ioas.users--;
  context.objects.abort(hwpt);
  return yield* giveUp(hwpt, ready);
}

/** EOPNOTSUPP: the IOMMU's driver, or the lack of one, knows no such flags or data. */
function* allocDomain({ bdf, noiommu }: BoundDevice, flags: number, data?: UserData): Op<Result<DomainInfo>> {
  if (!noiommu) return yield* call(IOMMU, iommuApi.domainAlloc, { bdf, flags, data });
  return flags || data ? fail('EOPNOTSUPP') : yield* call(IOMMU, iommuApi.softwareAlloc, undefined);
}

function* fillNew(ioas: Ioas, hwpt: PagingHwpt, first?: FirstAttach): Op<Result<unknown>> {
  if (!first) return yield* addDomain(ioas, hwpt);
  const attached = yield* first.attach(hwpt);
  if (!attached.ok) return attached;
  const added = yield* addDomain(ioas, hwpt);
  if (!added.ok) yield* first.undo(hwpt);
  return added;
}

function* giveUp(hwpt: PagingHwpt, why: Fail): Op<Result<PagingHwpt>> {
  yield* call(IOMMU, iommuApi.domainFree, { domain: hwpt.domain.domain });
  return why;
}

/** Semantics B5.1-B5.4: alignment, aperture, then fill. On failure nothing has changed. */
function* addDomain(ioas: Ioas, hwpt: PagingHwpt): Op<Result<void>> {
  yield* lockWrite(ioas.domainsLock);
  const done = yield* addDomainLocked(ioas, hwpt);
  yield* unlock(ioas.domainsLock);
  return done;
}

function* addDomainLocked(ioas: Ioas, hwpt: PagingHwpt): Op<Result<void>> {
  const alignment = ioas.wantedAlignment(hwpt);
  if (alignment > ioas.page) return fail('EINVAL');
  const conforms = ioas.checkAlignment(alignment);
  if (!conforms.ok) return conforms;
  const fits = reserveAperture(ioas, hwpt);
  const filled = fits.ok ? yield* fillAll(ioas, hwpt) : fits;
  if (!filled.ok) {
    ioas.unreserve(hwpt.owner);
    return filled;
  }
  ioas.hwpts.push(hwpt);
  ioas.alignment = ioas.wantedAlignment();
  return ok(undefined);
}

function reserveAperture(ioas: Ioas, { domain, owner }: PagingHwpt): Result<void> {
  if (domain.first !== 0n) {
    const below = ioas.reserve({ start: 0n, last: domain.first - 1n, owner });
    if (!below.ok) return below;
  }
  return domain.last === U64_MAX ? ok(undefined) : ioas.reserve({ start: domain.last + 1n, last: U64_MAX, owner });
}

function* fillAll(ioas: Ioas, hwpt: PagingHwpt): Op<Result<void>> {
  const done: Area[] = [];
  for (const area of [...ioas.areas]) {
    if (area.state !== 'live') continue;
    const filled = yield* fillArea(area, area.store!, [hwpt]);
    if (!filled.ok) {
      yield* clear(done, [hwpt]);
      yield* trimCovers(done, ioas.hwpts.length === 0 ? 0 : 1);
      return filled;
    }
    done.push(area);
  }
  // Pinning once more was how to learn the frames: one cover stands for every domain of the IOAS.
  yield* trimCovers(done, 1);
  return ok(undefined);
}

/** Destroys a HWPT that others can see. Nothing is attached to it any more. Never fails. */
export function* destroyHwpt(context: Context, hwpt: Hwpt): Op<void> {
  context.objects.remove(hwpt);
  yield* dismantle(hwpt);
}

/** Destroys a HWPT that was never finalized. */
export function* abortHwpt(context: Context, hwpt: Hwpt): Op<void> {
  yield* dismantle(hwpt);
  context.objects.abort(hwpt);
}

function* dismantle(hwpt: Hwpt): Op<void> {
  if (hwpt.type === 'nested') yield* dismantleNested(hwpt);
  else yield* dismantlePaging(hwpt);
  if (hwpt.fault) hwpt.fault.users--;
}

/** Takes the domain out of its IOAS, then frees it. */
function* dismantlePaging(hwpt: PagingHwpt): Op<void> {
  const { ioas } = hwpt;
  yield* lockWrite(ioas.domainsLock);
  ioas.hwpts.splice(ioas.hwpts.indexOf(hwpt), 1);
  const areas = [...ioas.areas].filter((a) => a.state === 'live');
  yield* clear(areas, [hwpt]);
  // The pins go with the last domain.
  if (ioas.hwpts.length === 0) yield* trimCovers(areas, 0);
  ioas.unreserve(hwpt.owner);
  ioas.alignment = ioas.wantedAlignment();
  yield* unlock(ioas.domainsLock);
  yield* call(IOMMU, iommuApi.domainFree, { domain: hwpt.domain.domain });
  ioas.users--;
}

/** A user of the HWPT is gone; an auto HWPT without devices goes too. */
export function* putHwpt(context: Context, hwpt: Hwpt): Op<void> {
  hwpt.users--;
  if (hwpt.type === 'hwpt' && hwpt.auto && hwpt.users === 1) yield* destroyHwpt(context, hwpt);
}
