/**
 * Devices come to a context and leave it.
 *
 * Rule: while a device is bound, its group's DMA belongs to the context; a mock device's group is its own (semantics E7).
 */
import { ok, type Result } from '@vfiolab/uapi';
import { call, GROUPS, groupsApi, IOMMU, iommuApi, lockWrite, type Op } from '@vfiolab/core';
import { Access } from './access.js';
import { detach } from './attach.js';
import { BoundDevice, type Context, isDevice } from './context.js';
import { detachAllPasids } from './pasid.js';
import { buryVdevice } from './viommu.js';

/** EPERM, EBUSY, EINVAL as DMA ownership has it, which a device without an IOMMU needs none of; ENOMEM: too many objects. */
export function* bindDevice(context: Context, bdf: string): Op<Result<BoundDevice>> {
  const claimed = yield* call(GROUPS, groupsApi.claimDma, { bdf, context: context.id });
  if (!claimed.ok) return claimed;
  const { group, members, noiommu } = claimed.value;
  const bound = addDevice(context, new BoundDevice(bdf, context.igroup(group, members), false, noiommu));
  if (!bound.ok) yield* call(GROUPS, groupsApi.releaseDma, { bdf, context: context.id });
  return bound;
}

/** Ids of functions in the context; 0: of the group of one that is in it; -1: neither (semantics D6.3). */
export function deviceIds(context: Context | undefined, bdfs: readonly string[]): number[] {
  const groups = [...(context?.igroups.values() ?? [])];
  return bdfs.map((bdf) => {
    const own = context?.objects.all().find((o) => isDevice(o) && !o.mock && o.bdf === bdf);
    return own?.id ?? (groups.some(({ members }) => members.includes(bdf)) ? 0 : -1);
  });
}

/** A mediated device: an access, which has no IOAS yet. Its own driver is all that reaches memory. ENOMEM: too many objects. */
export function bindAccess(context: Context, mdev: string): Result<Access> {
  const access = new Access(true, mdev);
  const id = context.objects.reserve(access);
  if (!id.ok) return id;
  context.objects.finalize(access);
  return ok(access);
}

/** A new mock device. EINVAL: unknown flags, or an IOMMU is active (SURPRISES 49); ENOMEM. */
export function* bindMock(context: Context, flags: number, amdTables: boolean): Op<Result<BoundDevice>> {
  const made = yield* call(IOMMU, iommuApi.mockAdd, { flags, amdTables });
  if (!made.ok) return made;
  const { bdf, group } = made.value;
  const bound = addDevice(context, new BoundDevice(bdf, context.igroup(group, [bdf]), true));
  if (!bound.ok) yield* call(IOMMU, iommuApi.mockRemove, { bdf });
  return bound;
}

function addDevice(context: Context, device: BoundDevice): Result<BoundDevice> {
  const { igroup } = device;
  const id = context.objects.reserve(device);
  if (!id.ok) {
    if (igroup.bound === 0) context.igroups.delete(igroup.id);
    return id;
  }
  igroup.bound++;
  context.objects.finalize(device);
  return ok(device);
}

/** Its vDEVICE and PASIDs go first, then the attachment. The device's object is gone afterwards, and its group with its last device. */
export function* unbindDevice(context: Context, device: BoundDevice): Op<void> {
  device.leaving = true;
  buryVdevice(context, device);
  yield* detachAllPasids(context, device);
  yield* detach(context, device);
  yield* lockWrite(device.shortTerm);
  context.objects.remove(device);
  const { bdf, igroup, mock } = device;
  if (--igroup.bound === 0) context.igroups.delete(igroup.id);
  if (mock) yield* call(IOMMU, iommuApi.mockRemove, { bdf });
  else yield* call(GROUPS, groupsApi.releaseDma, { bdf, context: context.id });
}
