/** IOMMU_IOAS_IOVA_RANGES: the holes between reserved ranges, and the alignment. */
import { encode, fail, type iommu_ioas_iova_ranges, iommu_iova_range, ok, type StructOf } from '@vfiolab/uapi';
import { type IoctlResult, lockRead, type Op } from '@vfiolab/core';
import { isIoas } from '../context.js';
import { hold } from '../objects.js';
import type { Call } from './call.js';

/** EOPNOTSUPP, ENOENT, EFAULT, EMSGSIZE (count, alignment and what fits are written all the same: a006). */
export function* ioasIovaRanges(
  call: Call<typeof iommu_ioas_iova_ranges>,
  cmd: StructOf<typeof iommu_ioas_iova_ranges>,
): Op<IoctlResult> {
  if (cmd.__reserved) return fail('EOPNOTSUPP');
  const held = yield* hold(call.file.context.objects, cmd.ioas_id, isIoas);
  if (!held.ok) return held;
  const ioas = held.value;
  yield* lockRead(ioas.domainsLock);
  const ranges = ioas.ranges();
  for (let i = 0; i < Math.min(ranges.length, cmd.num_iovas); i++) {
    const va = cmd.allowed_iovas + BigInt(i * iommu_iova_range.size);
    if (!call.user.write(va, encode(iommu_iova_range, ranges[i]!))) return fail('EFAULT');
  }
  const told = call.respond({ num_iovas: ranges.length, out_iova_alignment: ioas.alignment });
  if (!told.ok) return told;
  return ranges.length > cmd.num_iovas ? fail('EMSGSIZE') : ok(0);
}
