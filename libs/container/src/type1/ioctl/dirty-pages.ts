/** VFIO_IOMMU_DIRTY_PAGES: starts and stops collecting dirty pages, and reports them. */
import {
  decode,
  fail,
  ok,
  type Result,
  type StructOf,
  vfio_iommu_type1_dirty_bitmap,
  vfio_iommu_type1_dirty_bitmap_get,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP,
} from '@vfiolab/uapi';
import type { IoctlCall, IoctlResult, Op } from '@vfiolab/core';
import { isTrackable, judgeBitmap, reportDirty } from '../dirty-bitmap.js';
import { restartDirty } from '../external-pins.js';
import { endOf, PAGE_SHIFT } from '../mappings.js';
import type { Type1 } from '../type1.js';

const HEAD = vfio_iommu_type1_dirty_bitmap.size;
const RANGE = vfio_iommu_type1_dirty_bitmap_get;
const TWO64 = 1n << 64n;

type Call = IoctlCall<Type1, typeof vfio_iommu_type1_dirty_bitmap>;
type Cmd = StructOf<typeof vfio_iommu_type1_dirty_bitmap>;

/**
 * EACCES: v1, said before (see Type1.ioctl). EINVAL: argsz; not exactly one flag; a mapping with too many pages; GET: not
 * started, or as {@link readRange}; EOVERFLOW, EFAULT: GET.
 */
export function* dirtyPages(call: Call, cmd: Cmd): Op<IoctlResult> {
  const { file: type1 } = call;
  switch (cmd.flags) {
    case VFIO_IOMMU_DIRTY_PAGES_FLAG_START:
      yield type1.lock.writing;
      if (![...type1.mappings].every((m) => isTrackable(m.count))) return fail('EINVAL');
      if (!type1.tracking) for (const mapping of type1.mappings) restartDirty(mapping);
      type1.tracking = true;
      return ok(0);
    case VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP:
      yield type1.lock.writing;
      type1.tracking = false;
      for (const { dirty } of type1.mappings) dirty.clear();
      return ok(0);
    case VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP:
      return yield* getBitmap(call, cmd);
    default:
      return fail('EINVAL');
  }
}

function* getBitmap(call: Call, cmd: Cmd): Op<IoctlResult> {
  const { file: type1, user } = call;
  const read = readRange(call, cmd);
  if (!read.ok) return read;
  const { iova, size, bitmap } = read.value;
  yield type1.lock.writing;
  const { pageSize, mappings, tracking } = type1;
  if (bitmap.pgsize !== pageSize || ((iova | size) & (pageSize - 1n)) !== 0n || !tracking) return fail('EINVAL');
  const [first, end] = [Number(iova >> PAGE_SHIFT), Number((iova + size) >> PAGE_SHIFT)];
  const found = mappings.overlapping(first, end);
  if (found.some((m) => m.first < first || endOf(m) > end)) return fail('EINVAL');
  for (const mapping of found) {
    if (!reportDirty(user, bitmap.data, first, mapping)) return fail('EFAULT');
    restartDirty(mapping);
  }
  return ok(0);
}

/** What is asked for. EINVAL: argsz, size 0, the bitmap; EFAULT: it cannot be read; EOVERFLOW: it wraps. */
function readRange({ user, arg, file }: Call, { argsz }: Cmd): Result<StructOf<typeof RANGE>> {
  if (argsz < HEAD + RANGE.size) return fail('EINVAL');
  const bytes = user.read(arg + BigInt(HEAD), RANGE.size);
  if (!bytes) return fail('EFAULT');
  const range = decode(RANGE, bytes);
  if (range.size === 0n) return fail('EINVAL');
  const { wrapIsOverflow } = file.host.flags;
  // Before, the range might not even end with the space.
  if (range.iova + range.size > (wrapIsOverflow ? TWO64 : TWO64 - 1n))
    return fail(wrapIsOverflow ? 'EOVERFLOW' : 'EINVAL');
  const judged = judgeBitmap(range.bitmap, range.size);
  return judged.ok ? ok(range) : judged;
}
