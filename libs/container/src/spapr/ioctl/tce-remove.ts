/** VFIO_IOMMU_SPAPR_TCE_REMOVE (v2): takes the window away that has this address, with everything in it. */
import type { IoctlCall, IoctlResult, Op } from '@vfiolab/core';
import { fail, ok, type StructOf, type vfio_iommu_spapr_tce_remove } from '@vfiolab/uapi';
import type { Spapr } from '../spapr.js';
import { freeWindow, slotAt } from '../windows.js';

/** EPERM: another process; ENXIO: no group; EINVAL: argsz, flags, no window there. Address 0 takes back a default window that is still to be made. */
export function* tceRemove(
  call: IoctlCall<Spapr, typeof vfio_iommu_spapr_tce_remove>,
  { flags, start_addr: start }: StructOf<typeof vfio_iommu_spapr_tce_remove>,
): Op<IoctlResult> {
  const { file: spapr } = call;
  if (flags !== 0) return fail('EINVAL');
  if (spapr.pending && start === 0n) {
    spapr.pending = false;
    return ok(0);
  }
  const slot = slotAt(spapr, start);
  if (slot < 0) return fail('EINVAL');
  yield* freeWindow(spapr, slot);
  return ok(0);
}
