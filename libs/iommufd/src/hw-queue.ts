/**
 * Hardware queues: guest memory that the IOMMU itself reads (semantics B7.3, C6.5).
 *
 * Words: the queue's *access* is one of its own, which nobody else sees and which has an id all the same; a *slot* is an
 * entry of the driver's table of queues.
 * Rule: the memory is pinned and its areas are locked: nobody is asked to let go, UNMAP is EBUSY. Queues are made in the
 * order of their indexes, and each holds the one before it.
 */
import { IOMMU_VIOMMU_TYPE_SELFTEST } from '@vfiolab/uapi';
import { Lock } from '@vfiolab/core';
import type { Access, PinnedSlice } from './access.js';
import type { Context } from './context.js';
import type { IommufdObject } from './objects.js';
import type { Viommu } from './viommu.js';

export class HwQueue implements IommufdObject {
  readonly type = 'hwqueue';
  id = 0;
  users = 1;
  readonly shortTerm = new Lock();
  /** In bytes: the address in memory, where it is all in one piece, and the length. */
  memory = { base: 0, length: 0 };
  /** Id of the queue before it, which it holds; 0: none. */
  before = 0;

  constructor(
    readonly viommu: Viommu,
    readonly index: number,
    readonly access: Access,
  ) {}

  get slices(): readonly PinnedSlice[] {
    return this.access.items.flatMap(({ slices }) => slices);
  }
}

/** The queue takes its place: it holds its vIOMMU and the queue before it, and locks its areas. */
export function linkQueue({ objects }: Context, queue: HwQueue): void {
  const { viommu, index } = queue;
  queue.before = viommu.slots.get(index - 1) ?? 0;
  viommu.slots.set(index, queue.id);
  viommu.users++;
  const before = objects.get(queue.before);
  if (before) before.users++;
  lockAreas(queue);
}

export function lockAreas({ slices }: HwQueue): void {
  for (const { area } of slices) area.locks++;
}

/**
 * The queue goes. The mock driver never notes a queue's index and so clears slot 0 whichever goes: another queue 0 can then
 * be made next to a living one, and a slot other than 0 stays taken for good (r8-0098). Slot 0 never names a queue that is
 * gone, so what a queue holds is always there.
 */
export function unlinkQueue({ objects }: Context, { viommu, index, before, slices }: HwQueue): void {
  viommu.slots.delete(viommu.kind === IOMMU_VIOMMU_TYPE_SELFTEST ? 0 : index);
  viommu.users--;
  const held = objects.get(before);
  if (held) held.users--;
  for (const { area } of slices) area.locks--;
}
