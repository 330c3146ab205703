/**
 * Hardware queues: guest memory that the IOMMU itself reads (semantics B7.3, C6.5).
 *
 * Words: the queue's *access* is one of its own, which nobody else sees and which has an id all the same.
 * Rule: the memory is pinned and its areas are locked: nobody is asked to let go, UNMAP is EBUSY. Queues are made in the
 * order of their indexes, and each holds the one before it.
 */
import { Lock } from '@vfiolab/core';
import type { Access, PinnedSlice } from './access.js';
import type { IommufdObject } from './objects.js';
import type { Viommu } from './viommu.js';

export class HwQueue implements IommufdObject {
  readonly type = 'hwqueue';
  id = 0;
  users = 1;
  readonly shortTerm = new Lock();

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
export function linkQueue(queue: HwQueue): void {
  const { viommu, index } = queue;
  viommu.hwQueues.set(index, queue);
  viommu.users++;
  const before = viommu.hwQueues.get(index - 1);
  if (before) before.users++;
  lockAreas(queue);
}

export function lockAreas({ slices }: HwQueue): void {
  for (const { area } of slices) area.locks++;
}

export function unlinkQueue({ viommu, index, slices }: HwQueue): void {
  viommu.hwQueues.delete(index);
  viommu.users--;
  const before = viommu.hwQueues.get(index - 1);
  if (before) before.users--;
  for (const { area } of slices) area.locks--;
}
