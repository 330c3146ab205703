/**
 * DMA ownership of groups: who may let the members of a group do DMA. (semantics A2.1-A2.8, [iommu.c])
 *
 * Words: the kernel owns a group while an ordinary driver is bound in it, a *context* (one open /dev/iommu) while a
 * member is bound to it, a *container* while the group is in it; `count` says how many times.
 * Rule: a group has one owner. The blocking domain is in place before a user owns the group, and the kernel's own domain is
 * back before nobody does: DMA of one owner never runs under another.
 */
import { BLOCKING, call, IOMMU, iommuApi, KERNEL, lockWrite, unlock, type Op } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import type { DmaOwner, Host, IommuGroup } from './host.js';

/** Nobody else runs at boot, so there is no lock to take. A function without a group needs no owner. */
export function takeAtBoot(group: IommuGroup | undefined): void {
  if (!group) return;
  group.owner = { kind: 'kernel' };
  group.count++;
}

/** An ordinary driver probes a member: EBUSY while a user owns the group. (A2.1, A2.6) */
export function* takeForKernel(group: IommuGroup | undefined): Op<Result<undefined>> {
  if (!group) return ok(undefined);
  yield* lockWrite(group.lock);
  const free = group.owner.kind === 'none' || group.owner.kind === 'kernel';
  if (free) {
    group.owner = { kind: 'kernel' };
    group.count++;
  }
  yield* unlock(group.lock);
  return free ? ok(undefined) : fail('EBUSY');
}

/** An ordinary driver has left a member. */
export function* dropForKernel(group: IommuGroup | undefined): Op<void> {
  if (!group) return;
  yield* lockWrite(group.lock);
  group.count--;
  if (group.count === 0) group.owner = { kind: 'none' };
  yield* unlock(group.lock);
}

/**
 * A context claims the group for one device more. EPERM: somebody else owns the group (A2.4), or MSI writes of its
 * members cannot be told apart and nobody has allowed that (A2.8). Errors of the IOMMU pass through.
 */
export function* claimForContext(host: Host, group: IommuGroup, context: number): Op<Result<undefined>> {
  if (!host.iommu.isolatesMsi && !host.parameters.isOn('iommufd.allow_unsafe_interrupts')) return fail('EPERM');
  yield* lockWrite(group.lock);
  const claimed = group.count > 0 ? claimAgain(group, context) : yield* claimFirst(group, { kind: 'context', context });
  yield* unlock(group.lock);
  return claimed;
}

function claimAgain(group: IommuGroup, context: number): Result<undefined> {
  if (!isOwnedBy(group, context)) return fail('EPERM');
  group.count++;
  return ok(undefined);
}

/** DMA stops for the whole group before the claim is answered. (A2.5, I17) */
function* claimFirst(group: IommuGroup, owner: DmaOwner): Op<Result<undefined>> {
  const blocked = yield* call(IOMMU, iommuApi.attach, { bdfs: [...group.members], domain: BLOCKING });
  if (!blocked.ok) return blocked;
  group.owner = owner;
  group.count = 1;
  return ok(undefined);
}

/** Gives one claim back; the last one puts the group back into the kernel's own domain. Others' releases do nothing. */
export function* releaseFromContext(group: IommuGroup, context: number): Op<void> {
  yield* lockWrite(group.lock);
  if (isOwnedBy(group, context)) {
    if (group.count === 1) yield* backToKernel(group);
    group.count--;
  }
  yield* unlock(group.lock);
}

/** The group goes into a container. EPERM: anybody owns it, the same container or a kernel driver included (A2.3). */
export function* claimForContainer(group: IommuGroup, container: number): Op<Result<undefined>> {
  yield* lockWrite(group.lock);
  const claimed = group.count > 0 ? fail('EPERM') : yield* claimFirst(group, { kind: 'container', container });
  yield* unlock(group.lock);
  return claimed;
}

/** The group has left the container that owned it. */
export function* releaseFromContainer(group: IommuGroup): Op<void> {
  yield* lockWrite(group.lock);
  yield* backToKernel(group);
  group.count = 0;
  yield* unlock(group.lock);
}

function* backToKernel(group: IommuGroup): Op<void> {
  const attached = yield* call(IOMMU, iommuApi.attach, { bdfs: [...group.members], domain: KERNEL });
  if (!attached.ok) throw new Error(`group ${group.id}: ${attached.errno} on the way back to the kernel's own domain`);
  group.owner = { kind: 'none' };
}

const isOwnedBy = ({ owner }: IommuGroup, context: number): boolean =>
  owner.kind === 'context' && owner.context === context;
