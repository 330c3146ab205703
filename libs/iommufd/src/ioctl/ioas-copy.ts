/** IOMMU_IOAS_COPY: map the pages behind one range at another place, sharing their pins. */
import { fail, type iommu_ioas_copy, ok, type Result, type StructOf } from '@vfiolab/uapi';
import type { IoctlResult, Op } from '@vfiolab/core';
import { isIoas } from '../context.js';
import type { Ioas } from '../ioas.js';
import { mapSlices, type Slice } from '../map.js';
import { hold } from '../objects.js';
import { U64_MAX } from '../spans.js';
import { putStore } from '../stores.js';
import type { Call } from './call.js';
import { FIXED, KNOWN_MAP_FLAGS, protOf, WRITEABLE } from './map-flags.js';

/** EOPNOTSUPP, EOVERFLOW, EINVAL, ENOENT (either IOAS, or the source is not wholly mapped), then as MAP, and EPERM. */
export function* ioasCopy(call: Call<typeof iommu_ioas_copy>, cmd: StructOf<typeof iommu_ioas_copy>): Op<IoctlResult> {
  if (cmd.flags & ~KNOWN_MAP_FLAGS) return fail('EOPNOTSUPP');
  if (cmd.length === U64_MAX || cmd.src_iova === U64_MAX || cmd.dst_iova === U64_MAX) return fail('EOVERFLOW');
  const prot = protOf(cmd.flags);
  if (prot === 0) return fail('EINVAL');
  const { objects } = call.file.context;
  const source = yield* hold(objects, cmd.src_ioas_id, isIoas);
  if (!source.ok) return source;
  const slices = takeSlices(source.value, cmd.src_iova, cmd.length);
  if (!slices.ok) return slices;
  const done = yield* copyTo(call, cmd, slices.value, prot);
  yield* putSlices(slices.value);
  return done;
}

function* copyTo(
  call: Call<typeof iommu_ioas_copy>,
  cmd: StructOf<typeof iommu_ioas_copy>,
  slices: readonly Slice[],
  prot: number,
): Op<IoctlResult> {
  const target = yield* hold(call.file.context.objects, cmd.dst_ioas_id, isIoas);
  if (!target.ok) return target;
  const fixed = cmd.flags & FIXED ? cmd.dst_iova : undefined;
  const iova = yield* mapSlices(target.value, slices, prot, (cmd.flags & WRITEABLE) !== 0, fixed);
  if (!iova.ok) return iova;
  const told = call.respond({ dst_iova: iova.value });
  return told.ok ? ok(0) : told;
}

/** The stores behind [iova, iova+length), without a hole, each with a reference. EINVAL, EOVERFLOW, ENOENT. */
function takeSlices(ioas: Ioas, iova: bigint, length: bigint): Result<Slice[]> {
  if (length === 0n) return fail('EINVAL');
  const last = iova + length - 1n;
  if (last > U64_MAX) return fail('EOVERFLOW');
  const slices: Slice[] = [];
  let at = iova;
  for (const area of ioas.areas.within({ start: iova, last })) {
    if (area.start > at || area.state !== 'live') return fail('ENOENT');
    const end = area.last < last ? area.last : last;
    slices.push({ store: area.store!, startByte: area.startByte + (at - area.start), length: end - at + 1n });
    at = end + 1n;
  }
  if (at !== last + 1n) return fail('ENOENT');
  for (const s of slices) s.store.areas++;
  return ok(slices);
}

function* putSlices(slices: readonly Slice[]): Op<void> {
  for (const { store } of slices) yield* putStore(store);
}
