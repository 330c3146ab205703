/**
 * PASIDs of a device: further address spaces beside the one of its requester id (semantics C7).
 *
 * Words: the *RID* is the attachment without a PASID; a HWPT is *compatible* when it was made with the PASID flag.
 * Rule: a PASID needs a compatible HWPT, and so does the RID as long as a PASID is attached. A PASID is a matter of one
 * device, but its siblings in the group must name the same HWPT for it.
 */
import { fail, ok, type Result } from '@vfiolab/uapi';
import { BLOCKING, call, IOMMU, iommuApi, lockWrite, type Op, unlock } from '@vfiolab/core';
import { type BoundDevice, type Context, type Igroup, isHwpt, isIoas, isNested } from './context.js';
import { putHwpt } from './hwpt.js';
import { PASID_COMPATIBLE } from './hwpt-flags.js';
import type { Hwpt } from './nested-hwpt.js';
import { hold, isAnyObject } from './objects.js';

export const isCompatible = (hwpt: Hwpt): boolean => (hwpt.flags & PASID_COMPATIBLE) !== 0;

/** Is any device of the group attached under a PASID? */
export const hasPasids = ({ pasids }: Igroup): boolean => pasids.length > 0;

export const pasidHwpt = (device: BoundDevice, pasid: number): Hwpt | undefined =>
  device.igroup.pasids.find((p) => p.device === device && p.pasid === pasid)?.hwpt;

/**
 * Attaches, or with `replace` moves. Answers the id of the HWPT. ENOENT; EINVAL: not a compatible HWPT, an IOAS (the HWPT it
 * would get is none), or for a move a PASID that is not attached; EBUSY: attached already; ENOMEM.
 */
export function* attachPasid(
  context: Context,
  device: BoundDevice,
  pasid: number,
  ptId: number,
  replace: boolean,
): Op<Result<number>> {
  const pt = yield* hold(context.objects, ptId, isAnyObject);
  if (!pt.ok) return pt;
  if (isIoas(pt.value) && !replace && pasidHwpt(device, pasid)) return fail('EBUSY');
  if (!isHwpt(pt.value) && !isNested(pt.value)) return fail('EINVAL');
  yield* lockWrite(device.igroup.lock);
  const moved = yield* move(device, pasid, pt.value, replace);
  yield* unlock(device.igroup.lock);
  yield* unlock(pt.value.shortTerm);
  if (!moved.ok) return moved;
  if (moved.value) yield* putHwpt(context, moved.value);
  return ok(ptId);
}

/** Answers the HWPT that was left, whose user the caller gives up. */
function* move(device: BoundDevice, pasid: number, hwpt: Hwpt, replace: boolean): Op<Result<Hwpt | undefined>> {
  const { igroup } = device;
  const old = pasidHwpt(device, pasid);
  if (replace ? !old : old) return fail(replace ? 'EINVAL' : 'EBUSY');
  if (old === hwpt) return ok(undefined);
  const siblings = igroup.pasids.filter((p) => p.pasid === pasid && p.device !== device);
  if (siblings.some((p) => p.hwpt !== hwpt) || !isCompatible(hwpt)) return fail('EINVAL');
  if (igroup.hwpt && !isCompatible(igroup.hwpt)) return fail('EINVAL');
  const to = { domain: hwpt.domainId, faults: hwpt.fault !== undefined };
  const attached = yield* call(IOMMU, iommuApi.pasidAttach, { bdf: device.bdf, pasid, ...to });
  if (!attached.ok) return attached;
  hwpt.users++;
  igroup.pasids = igroup.pasids.filter((p) => p.device !== device || p.pasid !== pasid);
  igroup.pasids.push({ pasid, device, hwpt });
  if (!old) device.users++;
  old?.fault?.drop(device, old, pasid);
  return ok(old);
}

/** Detaching what is not attached is nothing. */
export function* detachPasid(context: Context, device: BoundDevice, pasid: number): Op<void> {
  const { igroup, bdf } = device;
  yield* lockWrite(igroup.lock);
  const hwpt = pasidHwpt(device, pasid);
  if (hwpt) {
    yield* call(IOMMU, iommuApi.pasidAttach, { bdf, pasid, domain: BLOCKING });
    igroup.pasids = igroup.pasids.filter((p) => p.device !== device || p.pasid !== pasid);
    hwpt.fault?.drop(device, hwpt, pasid);
  }
  yield* unlock(igroup.lock);
  if (!hwpt) return;
  device.users--;
  yield* putHwpt(context, hwpt);
}

/** Before the device goes. */
export function* detachAllPasids(context: Context, device: BoundDevice): Op<void> {
  const own = device.igroup.pasids.filter((p) => p.device === device);
  for (const { pasid } of own) yield* detachPasid(context, device, pasid);
}
