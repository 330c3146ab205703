/** IOMMU_VFIO_IOAS: which IOAS the VFIO compatibility ioctls act on. */
import {
  fail,
  type iommu_vfio_ioas,
  IOMMU_VFIO_IOAS_CLEAR,
  IOMMU_VFIO_IOAS_GET,
  IOMMU_VFIO_IOAS_SET,
  ok,
  type StructOf,
} from '@vfiolab/uapi';
import type { IoctlResult, Op } from '@vfiolab/core';
import { isIoas } from '../context.js';
import { hold } from '../objects.js';
import type { Call } from './call.js';

/** EOPNOTSUPP: op, reserved; ENODEV: none is set; ENOENT: no such IOAS. No reference is kept. */
export function* vfioIoas(call: Call<typeof iommu_vfio_ioas>, cmd: StructOf<typeof iommu_vfio_ioas>): Op<IoctlResult> {
  const { context } = call.file;
  if (cmd.__reserved) return fail('EOPNOTSUPP');
  if (cmd.op === IOMMU_VFIO_IOAS_CLEAR) {
    context.compatIoas = undefined;
    return ok(0);
  }
  if (cmd.op === IOMMU_VFIO_IOAS_SET) {
    const ioas = yield* hold(context.objects, cmd.ioas_id, isIoas);
    if (ioas.ok) context.compatIoas = ioas.value;
    return ioas.ok ? ok(0) : ioas;
  }
  if (cmd.op !== IOMMU_VFIO_IOAS_GET) return fail('EOPNOTSUPP');
  if (!context.compatIoas) return fail('ENODEV');
  const told = call.respond({ ioas_id: context.compatIoas.id });
  return told.ok ? ok(0) : told;
}
