/** VFIO_IOMMU_SPAPR_TCE_CREATE (v2): one more window; the platform says where. */
import type { IoctlCall, IoctlResult, Op } from '@vfiolab/core';
import { fail, ok, type StructOf, type vfio_iommu_spapr_tce_create } from '@vfiolab/uapi';
import type { Spapr } from '../spapr.js';
import { createDefaultWindow, createWindow } from '../windows.js';

/**
 * `start_addr` comes back. EPERM: another process; ENXIO: no group; EINVAL: argsz, flags, page size, size, levels; ENOSPC: no
 * slot; ENOMEM: the charge, or no memory for the table; ENODEV, EPERM: the platform. The default window is made first.
 */
export function* tceCreate(
  call: IoctlCall<Spapr, typeof vfio_iommu_spapr_tce_create>,
  cmd: StructOf<typeof vfio_iommu_spapr_tce_create>,
): Op<IoctlResult> {
  const { file: spapr } = call;
  if (cmd.flags !== 0) return fail('EINVAL');
  const there = yield* createDefaultWindow(spapr);
  if (!there.ok) return there;
  const { page_shift: pageShift, window_size: size, levels } = cmd;
  const made = yield* createWindow(spapr, { pageShift, size, levels });
  if (!made.ok) return made;
  const told = call.respond({ start_addr: made.value });
  return told.ok ? ok(0) : told;
}
