/**
 * Virtual IOMMUs: the slice of a physical IOMMU that a guest gets, and the guest's ids of its devices (semantics C6).
 *
 * Words: a *vDEVICE* gives a bound device its id inside a vIOMMU.
 * Rule: whatever stands on a vIOMMU holds it (semantics E1). A device that goes takes its vDEVICE along and leaves a
 * *tombstone*: the id is never used again (SURPRISES 56).
 */
import { IOMMU_VIOMMU_TYPE_SELFTEST } from '@vfiolab/uapi';
import { call, IOMMU, iommuApi, Lock, type Op } from '@vfiolab/core';
import type { BoundDevice, Context } from './context.js';
import type { PagingHwpt } from './hwpt.js';
import type { IommufdObject } from './objects.js';
import type { VeventQueue } from './vevent-queue.js';
import type { Window } from './window.js';

export class Viommu implements IommufdObject {
  readonly type = 'viommu';
  id = 0;
  users = 1;
  readonly shortTerm = new Lock();
  /** By virtual id. */
  readonly devices = new Map<bigint, Vdevice>();
  /** By type. */
  readonly queues = new Map<number, VeventQueue>();
  /** The driver's table of hardware queues: the id of the queue that took an index; see `unlinkQueue`. */
  readonly slots = new Map<number, number>();
  window: Window | undefined;

  constructor(
    readonly hwpt: PagingHwpt,
    /** The IOMMU that it stands for: devices behind another have no place in it. */
    readonly unit: number,
    /** IOMMU_VIOMMU_TYPE_*. */
    readonly kind: number = IOMMU_VIOMMU_TYPE_SELFTEST,
  ) {}
}

/** The IOMMU that a device is behind. */
export function* unitOf({ bdf }: BoundDevice): Op<number> {
  return (yield* call(IOMMU, iommuApi.deviceIommu, { bdf })).unit;
}

export class Vdevice implements IommufdObject {
  readonly type = 'vdevice';
  id = 0;
  users = 1;
  readonly shortTerm = new Lock();

  constructor(
    readonly viommu: Viommu,
    readonly device: BoundDevice,
    readonly virtId: bigint,
  ) {}
}

/** What a vDEVICE refers to is told of it. */
export function linkVdevice(vdevice: Vdevice): void {
  vdevice.viommu.devices.set(vdevice.virtId, vdevice);
  vdevice.device.vdevice = vdevice;
}

/** The vDEVICE is gone from its vIOMMU and its device; its object is the caller's business. */
export function unlinkVdevice({ viommu, device, virtId }: Vdevice): void {
  viommu.devices.delete(virtId);
  viommu.users--;
  device.vdevice = undefined;
}

/** The device goes: its vDEVICE goes first, and nobody gets the id again. */
export function buryVdevice(context: Context, device: BoundDevice): void {
  const { vdevice } = device;
  if (!vdevice) return;
  unlinkVdevice(vdevice);
  context.objects.bury(vdevice);
}
