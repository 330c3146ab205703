/** IOMMU_IOAS_UNMAP: remove whole areas. */
import { fail, type iommu_ioas_unmap, ok, type StructOf } from '@vfiolab/uapi';
import { type IoctlResult, type Op } from '@vfiolab/core';
import { isIoas } from '../context.js';
import { hold } from '../objects.js';
import { U64_MAX } from '../spans.js';
import { unmapSpan } from '../unmap.js';
import type { Call } from './call.js';

/** ENOENT, EINVAL, EOVERFLOW, EBUSY. Everything (iova 0, length 2^64-1) of an empty IOAS is success with length 0. */
export function* ioasUnmap(
  call: Call<typeof iommu_ioas_unmap>,
  cmd: StructOf<typeof iommu_ioas_unmap>,
): Op<IoctlResult> {
  const ioas = yield* hold(call.file.context.objects, cmd.ioas_id, isIoas);
  if (!ioas.ok) return ioas;
  const all = cmd.iova === 0n && cmd.length === U64_MAX;
  if (!all && (cmd.iova === U64_MAX || cmd.length === U64_MAX)) return fail('EOVERFLOW');
  if (cmd.length === 0n) return fail('EINVAL');
  const last = all ? U64_MAX : cmd.iova + cmd.length - 1n;
  if (last > U64_MAX) return fail('EOVERFLOW');
  const { bytes, errno } = yield* unmapSpan(ioas.value, { start: cmd.iova, last });
  if (errno) return fail(errno);
  if (!all && bytes === 0n) return fail('ENOENT');
  const told = call.respond({ length: bytes });
  return told.ok ? ok(0) : told;
}
