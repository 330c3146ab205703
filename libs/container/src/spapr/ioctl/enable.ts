/** VFIO_IOMMU_ENABLE (v1): charges the whole default window and allows mapping. */
import type { IoctlResult, Op } from '@vfiolab/core';
import { fail, ok } from '@vfiolab/uapi';
import { charge } from '../memory.js';
import type { Spapr } from '../spapr.js';

/** EBUSY: enabled already; ENODEV: no group; EPERM: another process; ENOMEM: RLIMIT_MEMLOCK. */
export function* enable(spapr: Spapr, client: string): Op<IoctlResult> {
  if (spapr.enabled) return fail('EBUSY');
  if (spapr.groups.length === 0) return fail('ENODEV');
  if (!spapr.claim(client)) return fail('EPERM');
  const charged = yield* charge(spapr, BigInt(spapr.platform.size));
  if (!charged.ok) return charged;
  spapr.locked = charged.value;
  spapr.enabled = true;
  return ok(0);
}
