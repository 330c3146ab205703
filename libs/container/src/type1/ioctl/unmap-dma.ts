/** VFIO_IOMMU_UNMAP_DMA: takes whole mappings away, or says that their addresses are not to be used. */
import {
  decode,
  type Errno,
  fail,
  ok,
  type Result,
  type StructOf,
  type UserMemory,
  vfio_bitmap,
  VFIO_DMA_UNMAP_FLAG_ALL,
  VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
  VFIO_DMA_UNMAP_FLAG_VADDR,
  vfio_iommu_type1_dma_unmap,
} from '@vfiolab/uapi';
import type { IoctlCall, IoctlResult, Op } from '@vfiolab/core';
import { type BitmapRequest, judgeBitmap, reportDirty } from '../dirty-bitmap.js';
import { tellListeners } from '../external-pins.js';
import { END_PAGE, endOf, type Mapping, PAGE_SHIFT } from '../mappings.js';
import { unmapAndUnpin } from '../memory.js';
import type { Type1 } from '../type1.js';

const MODES = VFIO_DMA_UNMAP_FLAG_ALL | VFIO_DMA_UNMAP_FLAG_VADDR;
const STRUCT = vfio_iommu_type1_dma_unmap.size;
const TWO64 = 1n << 64n;

type Cmd = StructOf<typeof vfio_iommu_type1_dma_unmap>;

/**
 * `size` comes back as the bytes of the mappings concerned. EINVAL: argsz, flags, size, alignment, bitmap; on v2 also a range
 * that cuts a mapping, and an address that is invalid already; EBUSY: VADDR with a mediated device in the container;
 * EOVERFLOW: it wraps; EFAULT: the bitmap.
 */
export function* unmapDma(call: IoctlCall<Type1, typeof vfio_iommu_type1_dma_unmap>, cmd: Cmd): Op<IoctlResult> {
  const { file: type1, user } = call;
  if (cmd.flags & ~(MODES | VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP)) return fail('EINVAL');
  const bitmap = readBitmap(call, cmd);
  if (!bitmap.ok) return bitmap;
  yield type1.lock.writing;
  if (cmd.flags & VFIO_DMA_UNMAP_FLAG_VADDR && type1.emulated.length > 0) return fail('EBUSY');
  const chosen = yield* choose(type1, cmd, bitmap.value);
  if (!chosen.ok) return chosen;
  const { first, found } = chosen.value;
  if (cmd.flags & VFIO_DMA_UNMAP_FLAG_VADDR) {
    if (found.some((m) => m.vaddrInvalid)) return fail('EINVAL');
    for (const mapping of found) mapping.vaddrInvalid = true;
    type1.invalid += found.length;
  } else {
    const { told, errno } = bitmap.value ? report(user, bitmap.value, first, found) : { told: found, errno: undefined };
    yield* unmapAndUnpin(type1, told);
    if (errno) return fail(errno);
  }
  const bytes = BigInt(found.reduce((sum, m) => sum + m.count, 0)) << PAGE_SHIFT;
  const answered = call.respond({ size: bytes });
  return answered.ok ? ok(0) : answered;
}

/** The mappings concerned. Drivers of mediated devices have let go of those that are to be unmapped; meanwhile all may change. */
function* choose(
  type1: Type1,
  cmd: Cmd,
  bitmap: BitmapRequest | undefined,
): Op<Result<{ first: number; found: Mapping[] }>> {
  for (;;) {
    const judged = judgeRange(type1, cmd, bitmap);
    if (!judged.ok) return judged;
    const { first, end } = judged.value;
    const found = affected(type1, first, end, (cmd.flags & VFIO_DMA_UNMAP_FLAG_ALL) !== 0);
    const held = cmd.flags & VFIO_DMA_UNMAP_FLAG_VADDR ? undefined : found.find(({ pins }) => pins.size > 0);
    if (!held) return ok({ first, found });
    yield* tellListeners(type1, held);
  }
}

/** The bitmap that the flags announce behind the struct. EINVAL, EFAULT. */
function readBitmap(
  { user, arg }: IoctlCall<Type1, typeof vfio_iommu_type1_dma_unmap>,
  { flags, argsz, size }: Cmd,
): Result<BitmapRequest | undefined> {
  if (!(flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP)) return ok(undefined);
  if (flags & MODES || argsz < STRUCT + vfio_bitmap.size) return fail('EINVAL');
  const bytes = user.read(arg + BigInt(STRUCT), vfio_bitmap.size);
  if (!bytes) return fail('EFAULT');
  const bitmap = decode(vfio_bitmap, bytes);
  const judged = judgeBitmap(bitmap, size);
  return judged.ok ? ok(bitmap) : judged;
}

interface PageRange {
  readonly first: number;
  readonly end: number;
}

function judgeRange(type1: Type1, { flags, iova, size }: Cmd, bitmap: BitmapRequest | undefined): Result<PageRange> {
  const { pageSize, v2, mappings, host } = type1;
  const all = (flags & VFIO_DMA_UNMAP_FLAG_ALL) !== 0;
  if (((iova | size) & (pageSize - 1n)) !== 0n || all !== (size === 0n) || (all && iova !== 0n)) return fail('EINVAL');
  if (all) return ok({ first: 0, end: END_PAGE });
  if (iova + size > TWO64) return fail(host.flags.wrapIsOverflow ? 'EOVERFLOW' : 'EINVAL');
  if (bitmap && (!type1.tracking || bitmap.pgsize !== pageSize)) return fail('EINVAL');
  const range = { first: Number(iova >> PAGE_SHIFT), end: Number((iova + size) >> PAGE_SHIFT) };
  const [head, tail] = [mappings.at(range.first), mappings.at(range.end - 1)];
  const cuts = (head && head.first < range.first) || (tail && endOf(tail) > range.end);
  return v2 && cuts ? fail('EINVAL') : ok(range);
}

/**
 * The mappings that go, in order. v2 takes those that lie in the range, which it does not cut. v1 takes every mapping whose
 * first page is in the range, unless the range begins inside of one: then nothing happens (SURPRISES 21).
 */
function affected({ mappings, v2, host }: Type1, first: number, end: number, all: boolean): Mapping[] {
  const found = mappings.overlapping(first, end);
  if (!v2 && found[0] && found[0].first < first) return [];
  // Before 6.18 the end of the last page wrapped to 0, so no look-up found its mapping; only a walk from another came there.
  const lost = host.flags.findsLastPage ? [] : found.filter((m) => endOf(m) === END_PAGE);
  return all && found.length > lost.length ? found : found.filter((m) => !lost.includes(m));
}

/** Tells the caller mapping by mapping; those that he could be told about go, as the kernel has it. */
function report(
  user: UserMemory,
  { data }: BitmapRequest,
  base: number,
  found: readonly Mapping[],
): { told: Mapping[]; errno: Errno | undefined } {
  const told: Mapping[] = [];
  for (const mapping of found) {
    if (!reportDirty(user, data, base, mapping)) return { told, errno: 'EFAULT' };
    told.push(mapping);
  }
  return { told, errno: undefined };
}
