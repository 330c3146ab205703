/**
 * Devices and HWPTs: attach, replace, detach (semantics C1).
 *
 * Words: attachment is per IOMMU group: the first device of a group moves the group, its siblings follow to the same HWPT.
 * Rule: the reserved ranges of every attached device are in the IOAS that its HWPT follows.
 */
import { type Errno, fail, ok, type Result } from '@vfiolab/uapi';
import { BLOCKING, call, IOMMU, iommuApi, lockWrite, type Op, unlock } from '@vfiolab/core';
import { type Access, joinIoas, replaceIoas } from './access.js';
import { type BoundDevice, type Context, type Igroup, isHwpt, isIoas, isNested } from './context.js';
import { abortHwpt, makeHwpt, type PagingHwpt, putHwpt } from './hwpt.js';
import type { Hwpt } from './nested-hwpt.js';
import type { Ioas } from './ioas.js';
import { hold, type IommufdObject, isAnyObject } from './objects.js';
import { hasPasids, isCompatible } from './pasid.js';

/** Moves the device to a HWPT: the HWPT it leaves, if any, is to be put by the caller. */
type Move = (device: BoundDevice, hwpt: Hwpt) => Op<Result<Hwpt | undefined>>;

/** Attach or, when the device is attached, replace, unless it must not: EBUSY. Answers the id of the HWPT. ENOENT, EINVAL, EADDRINUSE, ENOMEM, EFAULT. */
export function* changePt(context: Context, device: BoundDevice, ptId: number, mayReplace = true): Op<Result<number>> {
  const pt = yield* hold(context.objects, ptId, isAnyObject);
  if (!pt.ok) return pt;
  const replacing = device.attached;
  if (replacing && !mayReplace) return fail('EBUSY');
  const moved = yield* moveTo(context, device, pt.value, replacing ? replace : attach);
  // Not held longer than this: whoever called may have to destroy what he just named.
  yield* unlock(pt.value.shortTerm);
  if (!moved.ok) return moved;
  if (!replacing) device.users++;
  if (moved.value.left) yield* putHwpt(context, moved.value.left);
  return ok(moved.value.hwpt.id);
}

/** An access goes to an IOAS, whatever it had before. ENOENT: no such IOAS; EADDRINUSE: areas that are not on pages. */
export function* changeIoas(context: Context, access: Access, ptId: number): Op<Result<number>> {
  const ioas = yield* hold(context.objects, ptId, isIoas);
  if (!ioas.ok) return ioas;
  const moved = access.ioas ? yield* replaceIoas(access, ioas.value) : joinIoas(access, ioas.value);
  return moved.ok ? ok(ptId) : moved;
}

interface Moved {
  readonly hwpt: Hwpt;
  readonly left: Hwpt | undefined;
}

function* moveTo(context: Context, device: BoundDevice, pt: IommufdObject, move: Move): Op<Result<Moved>> {
  if (isHwpt(pt) || isNested(pt)) {
    const left = yield* move(device, pt);
    return left.ok ? ok({ hwpt: pt, left: left.value }) : left;
  }
  if (!isIoas(pt)) return fail('EINVAL');
  yield* lockWrite(pt.mutex);
  const moved = yield* moveToIoas(context, device, pt, move);
  yield* unlock(pt.mutex);
  return moved;
}

/** Tries the auto HWPTs of the IOAS; EINVAL means incompatible, try the next (C1.2). Then makes a new one. */
function* moveToIoas(context: Context, device: BoundDevice, ioas: Ioas, move: Move): Op<Result<Moved>> {
  for (const hwpt of ioas.hwpts.filter((h) => h.auto)) {
    // One whose last device has left is on its way out; one that is tried must not go meanwhile.
    if (context.objects.get(hwpt.id) !== hwpt) continue;
    hwpt.users++;
    const left = yield* move(device, hwpt);
    yield* putHwpt(context, hwpt);
    if (left.ok) return ok({ hwpt, left: left.value });
    if (left.errno !== 'EINVAL') return left;
  }
  const first =
    move === attach ? { attach: (h: PagingHwpt) => attach(device, h), undo: () => leave(device) } : undefined;
  const made = yield* makeHwpt(context, ioas, device, 0, first);
  if (!made.ok) return made;
  const hwpt = made.value;
  const left = first ? ok(undefined) : yield* move(device, hwpt);
  if (!left.ok) {
    yield* abortHwpt(context, hwpt);
    return left;
  }
  hwpt.auto = true;
  context.objects.finalize(hwpt);
  return ok({ hwpt, left: left.value });
}

/** First attachment of the device. EINVAL when a sibling is attached elsewhere. */
function* attach(device: BoundDevice, hwpt: Hwpt): Op<Result<undefined>> {
  const { igroup } = device;
  yield* lockWrite(igroup.lock);
  const done = yield* attachLocked(device, igroup, hwpt);
  yield* unlock(igroup.lock);
  return done;
}

function* attachLocked(device: BoundDevice, igroup: Igroup, hwpt: Hwpt): Op<Result<undefined>> {
  if (igroup.hwpt && igroup.hwpt !== hwpt) return fail('EINVAL');
  const refused = refusal(device, hwpt);
  if (refused) return fail(refused);
  const { ioas } = hwpt.paging;
  const reserved = yield* enforceReserved(ioas, device.bdf);
  if (!reserved.ok) return reserved;
  if (igroup.attached.length === 0) {
    const moved = yield* moveGroup(device, hwpt.domainId, hwpt.fault !== undefined);
    if (!moved.ok) {
      ioas.unreserve(device.bdf);
      return moved;
    }
    igroup.hwpt = hwpt;
  }
  hwpt.users++;
  igroup.attached.push(device);
  device.route = routeOf(device, hwpt);
  return ok(undefined);
}

/** The whole group moves; on failure the old attachment is as it was (C1.3). */
function* replace(device: BoundDevice, hwpt: Hwpt): Op<Result<Hwpt | undefined>> {
  const { igroup } = device;
  yield* lockWrite(igroup.lock);
  const left = yield* replaceLocked(device, igroup, hwpt);
  yield* unlock(igroup.lock);
  return left;
}

function* replaceLocked(device: BoundDevice, igroup: Igroup, hwpt: Hwpt): Op<Result<Hwpt | undefined>> {
  const old = igroup.hwpt;
  if (!old || !device.attached) return fail('EINVAL');
  if (old === hwpt) return ok(undefined);
  const refused = igroup.attached.map((d) => refusal(d, hwpt)).find((errno) => errno !== undefined);
  if (refused) return fail(refused);
  const [from, to] = [old.paging.ioas, hwpt.paging.ioas];
  const reserved = from !== to ? yield* reserveGroup(igroup, to) : ok(undefined);
  if (!reserved.ok) return reserved;
  const moved = yield* moveGroup(device, hwpt.domainId, hwpt.fault !== undefined);
  if (!moved.ok) {
    if (from !== to) unreserveGroup(igroup, to);
    return moved;
  }
  if (from !== to) unreserveGroup(igroup, from);
  old.fault?.drop(device, old);
  igroup.hwpt = hwpt;
  for (const d of igroup.attached) d.route = routeOf(d, hwpt);
  hwpt.users += igroup.attached.length;
  old.users -= igroup.attached.length - 1;
  return ok(old);
}

/** Detaches; the last device of the group leaves it blocked (C1.4). Detaching what is not attached is nothing. */
export function* detach(context: Context, device: BoundDevice): Op<void> {
  if (!device.attached) return;
  const hwpt = device.igroup.hwpt!;
  yield* leave(device);
  device.users--;
  yield* putHwpt(context, hwpt);
}

/** Takes the device off its HWPT, which keeps the user count that the caller gives up. */
function* leave(device: BoundDevice): Op<void> {
  const { igroup, bdf } = device;
  yield* lockWrite(igroup.lock);
  const hwpt = igroup.hwpt!;
  igroup.attached.splice(igroup.attached.indexOf(device), 1);
  device.route = undefined;
  if (igroup.attached.length === 0) {
    yield* moveGroup(device, BLOCKING);
    igroup.hwpt = undefined;
    hwpt.fault?.drop(device, hwpt);
  }
  hwpt.paging.ioas.unreserve(bdf);
  yield* unlock(igroup.lock);
}

/**
 * EINVAL: the group has PASIDs attached, and the HWPT was not made for that (semantics C7). ENOENT: the HWPT belongs to a
 * vIOMMU in which the device has no id (C6.2). EINVAL: the HWPT is for devices with an IOMMU and this has none, or the reverse.
 */
function refusal(device: BoundDevice, hwpt: Hwpt): Errno | undefined {
  if (device.noiommu !== hwpt.paging.noiommu) return 'EINVAL';
  if (hasPasids(device.igroup) && !isCompatible(hwpt)) return 'EINVAL';
  return hwpt.type === 'nested' && hwpt.needsId && device.vdevice?.viommu !== hwpt.viommu ? 'ENOENT' : undefined;
}

/** Through a vIOMMU events reach the guest, under the id that the device has when it is attached. */
const routeOf = ({ vdevice }: BoundDevice, hwpt: Hwpt): BoundDevice['route'] =>
  hwpt.type === 'nested' && hwpt.viommu && vdevice?.viommu === hwpt.viommu
    ? { viommu: hwpt.viommu, virtId: vdevice.virtId }
    : undefined;

/** A device without an IOMMU goes nowhere. */
function* moveGroup({ igroup, noiommu }: BoundDevice, domain: number, faults = false): Op<Result<void>> {
  if (noiommu) return ok(undefined);
  return yield* call(IOMMU, iommuApi.attach, { bdfs: [...igroup.members], domain, faults });
}

/** The device's regions become unmappable in the IOAS. Relaxable direct regions are not for users (B5.4). EADDRINUSE. */
function* enforceReserved(ioas: Ioas, bdf: string): Op<Result<void>> {
  const regions = yield* call(IOMMU, iommuApi.reservedRegions, { bdf });
  for (const { start, last, type } of regions) {
    if (type === 'direct-relaxable') continue;
    const done = ioas.reserve({ start, last, owner: bdf });
    if (done.ok) continue;
    ioas.unreserve(bdf);
    return done;
  }
  return ok(undefined);
}

function* reserveGroup(igroup: Igroup, ioas: Ioas): Op<Result<void>> {
  for (const d of igroup.attached) {
    const done = yield* enforceReserved(ioas, d.bdf);
    if (done.ok) continue;
    unreserveGroup(igroup, ioas);
    return done;
  }
  return ok(undefined);
}

function unreserveGroup(igroup: Igroup, ioas: Ioas): void {
  for (const d of igroup.attached) ioas.unreserve(d.bdf);
}
