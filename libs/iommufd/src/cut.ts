/**
 * Cutting an area in two, for the VFIO compatibility of type1 v1, where a range may be unmapped that was mapped as a part.
 *
 * Rule: both halves show the same store and hold what the whole held: nothing is mapped, pinned or charged anew (B5.6).
 */
import { fail, ok, PAGE_SIZE, type Result } from '@vfiolab/uapi';
import type { Area, Ioas } from './ioas.js';

/**
 * An area that has `last` inside ends there afterwards, and another one begins behind it. EBUSY: the area is on its way in or
 * out; EOPNOTSUPP: it shows a dma-buf (c066); EINVAL: not on the IOAS's alignment, or an access has pinned parts of it.
 */
export function cutAt(ioas: Ioas, last: bigint): Result<void> {
  const area = ioas.areas.first({ start: last, last });
  if (!area || last === area.start || last === area.last) return ok(undefined);
  if (area.state !== 'live' || area.closedToAccesses) return fail('EBUSY');
  if (area.store!.dmabuf) return fail('EOPNOTSUPP');
  const next = last + 1n;
  const startByte = area.startByte + (next - area.start);
  if ((next | (area.source + (next - area.start))) & (ioas.alignment - 1n) || area.accesses > 0) return fail('EINVAL');
  // Covers are counted in whole slots: with large pages off every cut is on a page.
  if (startByte % BigInt(PAGE_SIZE) !== 0n) return fail('EINVAL');
  const halves: Area[] = [
    { ...area, last },
    { ...area, start: next, source: area.source + (next - area.start), startByte },
  ];
  ioas.areas.delete(area);
  for (const half of halves) ioas.areas.insert(half);
  area.store!.areas++;
  return ok(undefined);
}
