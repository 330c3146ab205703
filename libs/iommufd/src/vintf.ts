/**
 * VINTFs: what one vIOMMU has of a Tegra241 CMDQV, command queues that a guest fills without the kernel (feature 18).
 *
 * Words: a *VCMDQ* is one of its queues, in guest memory, with registers in the window that a program maps; a *VSID* an entry
 * of the table by which it finds the device behind a guest's stream id.
 * Rule: numbers are those of the hardware; nobody but the vIOMMU uses its VINTF.
 */
import { fail, IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV, ok, type Result } from '@vfiolab/uapi';
import { CMDQV } from '@vfiolab/core';
import { type Context, isViommu } from './context.js';
import type { HwQueue } from './hw-queue.js';
import type { Viommu } from './viommu.js';

/** The first one is the kernel's own. */
export const USER_VINTFS = 2 ** CMDQV.log2Vintfs - 1;
export const VCMDQS = 2 ** CMDQV.log2Vcmdqs;
const VSIDS = 2 ** CMDQV.log2Vsids;
/** Page 0 of a VINTF. */
export const VINTF_BYTES = 0x10000;
export const COMMAND_BYTES = 16;
const LONGEST_QUEUE = COMMAND_BYTES * 2 ** CMDQV.log2Commands;
const SHORTEST_QUEUE = 32;
const LAST_STREAM = 0xffffffffn;

/** VINTFs of one unit that users have. */
export function vintfsInUse(contexts: Iterable<Context>, unit: number): number {
  let count = 0;
  for (const { objects } of contexts)
    for (const o of objects.all())
      if (isViommu(o) && o.kind === IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV && o.unit === unit) count++;
  return count;
}

/** Has the vIOMMU room for the guest's id of one more device? EINVAL: more than 32 bits; ENOSPC. Only a VINTF asks. */
export function roomForStream({ kind, devices }: Viommu, virtId: bigint): Result<void> {
  if (kind !== IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV) return ok(undefined);
  if (virtId > LAST_STREAM) return fail('EINVAL');
  return devices.size < VSIDS ? ok(undefined) : fail('ENOSPC');
}

/** A power of two of bytes, aligned to itself in memory. */
export function fitsVcmdq({ base, length }: HwQueue['memory']): boolean {
  if (length < SHORTEST_QUEUE || length > LONGEST_QUEUE) return false;
  return Number.isInteger(Math.log2(length)) && base % length === 0;
}
