/** IOMMU_HWPT_ALLOC: a paging HWPT that follows an IOAS. Nested tables and flags are refused as a driver without them does. */
import { fail, type iommu_hwpt_alloc, ok, type StructOf } from '@vfiolab/uapi';
import { type IoctlResult, lockWrite, type Op } from '@vfiolab/core';
import { isDevice, isHwpt, isIoas } from '../context.js';
import { abortHwpt, makeHwpt } from '../hwpt.js';
import { hold, isAnyObject } from '../objects.js';
import type { Call } from './call.js';

/** EOPNOTSUPP, EINVAL, ENOENT, then as filling a domain: EADDRINUSE, ENOMEM, EFAULT. */
export function* hwptAlloc(
  call: Call<typeof iommu_hwpt_alloc>,
  cmd: StructOf<typeof iommu_hwpt_alloc>,
): Op<IoctlResult> {
  const { context } = call.file;
  if (cmd.__reserved) return fail('EOPNOTSUPP');
  if ((cmd.data_type === 0) !== (cmd.data_len === 0)) return fail('EINVAL');
  const device = yield* hold(context.objects, cmd.dev_id, isDevice);
  if (!device.ok) return device;
  const pt = yield* hold(context.objects, cmd.pt_id, isAnyObject);
  if (!pt.ok) return fail('EINVAL');
  if (isHwpt(pt.value)) return fail(cmd.data_len === 0 ? 'EOPNOTSUPP' : 'EINVAL');
  if (!isIoas(pt.value)) return fail('EINVAL');
  if (cmd.data_len !== 0) return fail('EOPNOTSUPP');
  yield* lockWrite(pt.value.mutex);
  const hwpt = yield* makeHwpt(context, pt.value, device.value, cmd.flags);
  if (!hwpt.ok) return hwpt;
  const told = call.respond({ out_hwpt_id: hwpt.value.id });
  if (!told.ok) {
    yield* abortHwpt(context, hwpt.value);
    return told;
  }
  context.objects.finalize(hwpt.value);
  return ok(0);
}
