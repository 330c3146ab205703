/** IOMMU_IOAS_ALLOW_IOVAS: replace the list of ranges that must stay mappable. */
import {
  fail,
  type iommu_ioas_allow_iovas,
  iommu_iova_range,
  decode,
  ok,
  type Result,
  type StructOf,
  type UserMemory,
} from '@vfiolab/uapi';
import { type IoctlResult, lockRead, type Op } from '@vfiolab/core';
import { isIoas } from '../context.js';
import { hold } from '../objects.js';
import { type IovaSpan, SpanSet } from '../spans.js';
import type { Call } from './call.js';

/** Longer lists are ENOMEM: a bound for the lab. */
export const MAX_ALLOWED = 32768;

/**
 * EOPNOTSUPP: reserved; ENOENT; EFAULT; EINVAL: empty, one byte, overlapping; EADDRINUSE: a range is reserved, and the old
 * list stays; ENOMEM: too long.
 */
export function* ioasAllowIovas(
  call: Call<typeof iommu_ioas_allow_iovas>,
  cmd: StructOf<typeof iommu_ioas_allow_iovas>,
): Op<IoctlResult> {
  if (cmd.__reserved) return fail('EOPNOTSUPP');
  const ioas = yield* hold(call.file.context.objects, cmd.ioas_id, isIoas);
  if (!ioas.ok) return ioas;
  const list = loadRanges(call.user, cmd.allowed_iovas, cmd.num_iovas);
  if (!list.ok) return list;
  yield* lockRead(ioas.value.domainsLock);
  const set = ioas.value.allow(list.value);
  return set.ok ? ok(0) : set;
}

/** Reads and checks one range after the other: the first fault or fault of meaning decides. */
function loadRanges(user: UserMemory, va: bigint, count: number): Result<IovaSpan[]> {
  const list = new SpanSet<IovaSpan>();
  for (let i = 0; i < count; i++) {
    if (i === MAX_ALLOWED) return fail('ENOMEM');
    const bytes = user.read(va + BigInt(i * iommu_iova_range.size), iommu_iova_range.size);
    if (!bytes) return fail('EFAULT');
    const range = decode(iommu_iova_range, bytes);
    if (range.start >= range.last || list.first(range)) return fail('EINVAL');
    list.insert({ start: range.start, last: range.last });
  }
  return ok([...list]);
}
