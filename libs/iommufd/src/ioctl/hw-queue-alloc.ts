/** IOMMU_HW_QUEUE_ALLOC: guest memory for the IOMMU's own queue. */
import {
  fail,
  type iommu_hw_queue_alloc,
  IOMMU_HW_QUEUE_TYPE_SELFTEST,
  IOMMU_TEST_HW_QUEUE_MAX,
  ok,
  PAGE_SIZE,
  type Result,
  type StructOf,
} from '@vfiolab/uapi';
import type { IoctlResult, Op } from '@vfiolab/core';
import { pinPages, type Pinned, unpinSlices } from '../access.js';
import { isViommu } from '../context.js';
import { HwQueue, linkQueue } from '../hw-queue.js';
import { hold } from '../objects.js';
import { type IovaSpan, U64_MAX } from '../spans.js';
import type { Viommu } from '../viommu.js';
import type { Call } from './call.js';

type AllocCall = Call<typeof iommu_hw_queue_alloc>;
type Cmd = StructOf<typeof iommu_hw_queue_alloc>;

const PAGE = BigInt(PAGE_SIZE);
/** Longer queues are ENOMEM: the kernel has no room for a list of that many pages. */
const LONGEST = 16n * 1024n * 1024n;

/**
 * EOPNOTSUPP: flags, type; EINVAL: length 0, index; EOVERFLOW, ERANGE: the range; ENOENT: vIOMMU, or a hole; EPERM: not
 * readable; EFAULT: not contiguous in memory; EEXIST: index taken; EIO: the index before it is free. Memory comes before
 * the index (c050).
 */
export function* hwQueueAlloc(call: AllocCall, cmd: Cmd): Op<IoctlResult> {
  if (cmd.flags || cmd.type === 0) return fail('EOPNOTSUPP');
  if (cmd.length === 0n) return fail('EINVAL');
  if (cmd.nesting_parent_iova + cmd.length - 1n > U64_MAX) return fail('EOVERFLOW');
  const viommu = yield* hold(call.file.context.objects, cmd.viommu_id, isViommu);
  if (!viommu.ok) return viommu;
  if (cmd.type !== IOMMU_HW_QUEUE_TYPE_SELFTEST) return fail('EOPNOTSUPP');
  const span = wholePages(cmd.nesting_parent_iova, cmd.length);
  if (!span.ok) return span;
  const pinned = yield* pinPages(viommu.value.hwpt.ioas, span.value, false);
  if (!pinned.ok) return pinned;
  const made = publish(call, viommu.value, cmd.index, pinned.value);
  if (!made.ok) yield* unpinSlices(pinned.value.slices);
  return made;
}

/** The pages around the range. */
function wholePages(iova: bigint, length: bigint): Result<IovaSpan> {
  const start = iova - (iova % PAGE);
  const size = ((iova % PAGE) + length + PAGE - 1n) & ~(PAGE - 1n);
  if (size > U64_MAX) return fail('ERANGE');
  return size > LONGEST ? fail('ENOMEM') : ok({ start, last: start + size - 1n });
}

function publish(call: AllocCall, viommu: Viommu, index: number, { runs, slices }: Pinned): IoctlResult {
  if (!isContiguous(runs)) return fail('EFAULT');
  if (index >= IOMMU_TEST_HW_QUEUE_MAX) return fail('EINVAL');
  if (viommu.hwQueues.has(index)) return fail('EEXIST');
  if (index > 0 && !viommu.hwQueues.has(index - 1)) return fail('EIO');
  const { objects } = call.file.context;
  const queue = new HwQueue(viommu, index, slices);
  const id = objects.reserve(queue);
  if (!id.ok) return id;
  const told = call.respond({ out_hw_queue_id: id.value });
  if (!told.ok) {
    objects.abort(queue);
    return told;
  }
  linkQueue(queue);
  objects.finalize(queue);
  return ok(0);
}

const isContiguous = (runs: Pinned['runs']): boolean =>
  runs.every((run, i) => i === 0 || runs[i - 1]!.frame + runs[i - 1]!.count === run.frame);
