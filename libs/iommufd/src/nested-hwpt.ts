/**
 * Nested HWPTs: a table that the user writes himself, on top of a parent that the kernel manages.
 *
 * Rule: the parent cannot go before its children (semantics E1); what the user's data means is the driver's business, so
 * the domain and its caches live in the iommu service.
 */
import { fail, ok, type Result } from '@vfiolab/uapi';
import { call, IOMMU, iommuApi, Lock, type Op, type UserData } from '@vfiolab/core';
import type { BoundDevice, Context } from './context.js';
import type { FaultQueue } from './fault-queue.js';
import type { PagingHwpt } from './hwpt.js';
import { FAULT_ID_VALID, NEST_PARENT } from './hwpt-flags.js';
import type { IommufdObject } from './objects.js';
import type { ProfileFlags } from './profile-flags.js';
import { unitOf, type Viommu } from './viommu.js';

export class NestedHwpt implements IommufdObject {
  readonly type = 'nested';
  id = 0;
  users = 1;
  readonly shortTerm = new Lock();
  fault: FaultQueue | undefined;

  constructor(
    readonly parent: PagingHwpt,
    /** Number at the iommu service. */
    readonly domainId: number,
    /** Flags it was made with, without FAULT_ID_VALID. */
    readonly flags: number,
    /** Made through this vIOMMU, which it holds instead of the parent. */
    readonly viommu?: Viommu,
    /** A device must have an id in the vIOMMU. */
    readonly needsId = false,
  ) {}

  /** The HWPT that holds the kernel's part of the translation. */
  get paging(): PagingHwpt {
    return this.parent;
  }
}

export type Hwpt = PagingHwpt | NestedHwpt;

/** Has an id, but is not finalized yet. EOPNOTSUPP, EINVAL, EIO, EFAULT, ENOSPC, ENOMEM. */
export function* makeNested(
  context: Context,
  on: PagingHwpt | Viommu,
  device: BoundDevice,
  flags: number,
  data: UserData,
  { nestedFlags, mockDataSize: known }: ProfileFlags,
): Op<Result<NestedHwpt>> {
  if ((flags & ~nestedFlags) !== 0 || data.length === 0) return fail('EOPNOTSUPP');
  const viommu = on.type === 'viommu' ? on : undefined;
  const parent = viommu?.hwpt ?? (on as PagingHwpt);
  if (viommu && (yield* unitOf(device)) !== viommu.unit) return fail('EINVAL');
  const usable = !parent.auto && (parent.flags & NEST_PARENT) !== 0;
  const own = flags & ~FAULT_ID_VALID;
  const onto = { parent: parent.domainId, usable, viommu: viommu !== undefined };
  const made = yield* call(IOMMU, iommuApi.nestedAlloc, { bdf: device.bdf, ...onto, flags: own, data, known });
  if (!made.ok) return made;
  const { domain, needsId } = made.value;
  const hwpt = new NestedHwpt(parent, domain, own, viommu, needsId);
  const id = context.objects.reserve(hwpt);
  if (!id.ok) {
    yield* call(IOMMU, iommuApi.domainFree, { domain });
    return id;
  }
  on.users++;
  return ok(hwpt);
}

/** Gives up what the HWPT holds. Nothing is attached to it, and its id is taken care of by the caller. */
export function* dismantleNested(hwpt: NestedHwpt): Op<void> {
  yield* call(IOMMU, iommuApi.domainFree, { domain: hwpt.domainId });
  (hwpt.viommu ?? hwpt.parent).users--;
}
