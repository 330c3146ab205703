/** VFIO_IOMMU_DISABLE (v1): no more mapping, and the charge goes; what is mapped stays, and so does the table. */
import type { IoctlResult, Op } from '@vfiolab/core';
import { ok } from '@vfiolab/uapi';
import { uncharge } from '../memory.js';
import type { Spapr } from '../spapr.js';

export function* disable(spapr: Spapr): Op<IoctlResult> {
  if (!spapr.enabled) return ok(0);
  spapr.enabled = false;
  yield* uncharge(spapr, spapr.locked);
  spapr.locked = 0;
  return ok(0);
}
