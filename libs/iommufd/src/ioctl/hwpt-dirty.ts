/** IOMMU_HWPT_SET_DIRTY_TRACKING and IOMMU_HWPT_GET_DIRTY_BITMAP: what devices have written (semantics C5). */
import {
  type Errno,
  fail,
  type iommu_hwpt_get_dirty_bitmap,
  type iommu_hwpt_set_dirty_tracking,
  ok,
  type StructOf,
} from '@vfiolab/uapi';
import { call as ask, IOMMU, iommuApi, type IoctlResult, lockRead, MAX_DIRTY, type Op } from '@vfiolab/core';
import { isHwpt } from '../context.js';
import { DirtyBitmap } from '../dirty-bitmap.js';
import type { PagingHwpt } from '../hwpt.js';
import { DIRTY_TRACKING } from '../hwpt-flags.js';
import type { Ioas } from '../ioas.js';
import { hold } from '../objects.js';
import { U64_MAX } from '../spans.js';
import type { Call } from './call.js';

const ENABLE = 1;
const NO_CLEAR = 1;

/** Starting clears every dirty bit, also when it runs already. EOPNOTSUPP: flags, or a HWPT made without; ENOENT. */
export function* setDirtyTracking(
  call: Call<typeof iommu_hwpt_set_dirty_tracking>,
  cmd: StructOf<typeof iommu_hwpt_set_dirty_tracking>,
): Op<IoctlResult> {
  if (cmd.flags & ~ENABLE) return fail('EOPNOTSUPP');
  const hwpt = yield* hold(call.file.context.objects, cmd.hwpt_id, isHwpt);
  if (!hwpt.ok) return hwpt;
  const args = { domain: hwpt.value.domainId, enable: (cmd.flags & ENABLE) !== 0 };
  const set = yield* ask(IOMMU, iommuApi.dirtyTracking, args);
  return set.ok ? ok(0) : set;
}

type GetCall = Call<typeof iommu_hwpt_get_dirty_bitmap>;
type GetCmd = StructOf<typeof iommu_hwpt_get_dirty_bitmap>;

/**
 * EOPNOTSUPP: flags, or a HWPT made without tracking; ENOENT; EINVAL, EOVERFLOW: the range. What goes wrong on the way (a
 * hole, a bitmap that cannot be written) is not told: the walk ends there and the call succeeds (uAPI section 1).
 */
export function* getDirtyBitmap(call: GetCall, cmd: GetCmd): Op<IoctlResult> {
  if (cmd.flags & ~NO_CLEAR || cmd.__reserved) return fail('EOPNOTSUPP');
  const hwpt = yield* hold(call.file.context.objects, cmd.hwpt_id, isHwpt);
  if (!hwpt.ok) return hwpt;
  const { ioas } = hwpt.value;
  const refused = refusal(ioas, cmd, call.file.flags.dirtyOfNothing);
  if (refused) return fail(refused);
  if ((hwpt.value.flags & DIRTY_TRACKING) === 0) return fail('EOPNOTSUPP');
  yield* lockRead(ioas.domainsLock);
  yield* walk(call, cmd, hwpt.value);
  return ok(0);
}

/** The order is the kernel's. */
function refusal(ioas: Ioas, { iova, length, page_size: size }: GetCmd, ofNothing: Errno): Errno | undefined {
  if (length === 0n) return ofNothing;
  const end = iova + length;
  if (end - 1n > U64_MAX) return 'EOVERFLOW';
  if ((iova | end) & (ioas.alignment - 1n)) return 'EINVAL';
  if (size === 0n || (iova | end) & (size - 1n)) return 'EINVAL';
  return undefined;
}

/** From area to area without a hole. */
function* walk(call: GetCall, cmd: GetCmd, hwpt: PagingHwpt): Op<void> {
  const bitmap = new DirtyBitmap(call.user, cmd.data, cmd.iova, cmd.page_size);
  const span = { start: cmd.iova, last: cmd.iova + cmd.length - 1n };
  let at = cmd.iova;
  for (const area of [...hwpt.ioas.areas.within(span)]) {
    if (area.start > at || area.state !== 'live') break;
    const last = area.last < span.last ? area.last : span.last;
    yield* readArea(hwpt, at, last, (cmd.flags & NO_CLEAR) === 0, bitmap);
    at = last + 1n;
  }
  bitmap.writeBack();
}

function* readArea(hwpt: PagingHwpt, start: bigint, last: bigint, clear: boolean, bitmap: DirtyBitmap): Op<void> {
  const { domain, granule } = hwpt.domain;
  const shift = BigInt(granule);
  const end = Number(last >> shift) + 1;
  for (let iova = Number(start >> shift); iova < end; iova += MAX_DIRTY) {
    const count = Math.min(MAX_DIRTY, end - iova);
    const bits = yield* ask(IOMMU, iommuApi.dirtyRead, { domain, iova, count, clear });
    bitmap.record(BigInt(iova) << shift, 1n << shift, bits);
  }
}
