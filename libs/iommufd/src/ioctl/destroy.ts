/** IOMMU_DESTROY: remove one object by id. */
import { fail, type iommu_destroy, IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV, ok, type StructOf } from '@vfiolab/uapi';
import { type IoctlResult, lockWrite, type Op } from '@vfiolab/core';
import type { Context } from '../context.js';
import { isHwpt, isHwQueue, isIoas, isMockObject, isNested, isVdevice, isVeventQueue, isViommu } from '../context.js';
import { destroyAccess } from '../access.js';
import { type HwQueue, unlinkQueue } from '../hw-queue.js';
import { destroyHwpt } from '../hwpt.js';
import type { IommufdObject } from '../objects.js';
import { destroyMock } from '../selftest/mock-domain.js';
import { removeAll } from '../unmap.js';
import type { VeventQueue } from '../vevent-queue.js';
import { resetVcmdq } from '../vcmdq-registers.js';
import { unlinkVdevice } from '../viommu.js';
import type { Call } from './call.js';

/** ENOENT: no such object. EBUSY: something besides the table refers to it (semantics E3). */
export function* destroy(call: Call<typeof iommu_destroy>, cmd: StructOf<typeof iommu_destroy>): Op<IoctlResult> {
  const { context } = call.file;
  const object = context.objects.get(cmd.id);
  if (!object) return fail('ENOENT');
  yield* lockWrite(object.shortTerm);
  if (context.objects.get(cmd.id) !== object) return fail('ENOENT');
  if (object.users !== 1) return fail('EBUSY');
  yield* destroyObject(context, object);
  return ok(0);
}

/** Destroys an object that nothing refers to. A device or access always has its driver's reference and never gets here. */
export function* destroyObject(context: Context, object: IommufdObject): Op<void> {
  if (isHwpt(object) || isNested(object)) return yield* destroyHwpt(context, object);
  context.objects.remove(object);
  if (isViommu(object)) object.hwpt.users--;
  if (isVdevice(object)) unlinkVdevice(object);
  if (isVeventQueue(object)) unlinkEvents(object);
  if (isHwQueue(object)) yield* destroyHwQueue(context, object);
  if (isMockObject(object)) yield* destroyMock(context, object);
  if (!isIoas(object)) return;
  if (context.compatIoas === object) context.compatIoas = undefined;
  yield* removeAll(object);
}

function unlinkEvents({ viommu, kind }: VeventQueue): void {
  viommu.queues.delete(kind);
  viommu.users--;
}

/** Its memory can be unmapped again. */
function* destroyHwQueue(context: Context, queue: HwQueue): Op<void> {
  unlinkQueue(context, queue);
  if (queue.viommu.kind === IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV) resetVcmdq(queue);
  yield* destroyAccess(context, queue.access);
}
