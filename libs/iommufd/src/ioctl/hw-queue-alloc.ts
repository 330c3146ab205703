/** IOMMU_HW_QUEUE_ALLOC: guest memory for the IOMMU's own queue. */
import {
  fail,
  type iommu_hw_queue_alloc,
  IOMMU_HW_QUEUE_TYPE_SELFTEST,
  IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV,
  IOMMU_TEST_HW_QUEUE_MAX,
  IOMMU_VIOMMU_TYPE_SELFTEST,
  IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV,
  ok,
  PAGE_SIZE,
  type Result,
  type StructOf,
} from '@vfiolab/uapi';
import { type IoctlResult, lockWrite, type Op, unlock } from '@vfiolab/core';
import { Access, destroyAccess, joinIoas, pinPages, type Pinned } from '../access.js';
import { isViommu } from '../context.js';
import { HwQueue, linkQueue } from '../hw-queue.js';
import { hold } from '../objects.js';
import { type IovaSpan, U64_MAX } from '../spans.js';
import { fitsVcmdq, VCMDQS } from '../vintf.js';
import type { Viommu } from '../viommu.js';
import type { Call } from './call.js';

type AllocCall = Call<typeof iommu_hw_queue_alloc>;
type Cmd = StructOf<typeof iommu_hw_queue_alloc>;

/** By type of the vIOMMU; others have none. */
const QUEUE_TYPES: ReadonlyMap<number, number> = new Map([
  [IOMMU_VIOMMU_TYPE_SELFTEST, IOMMU_HW_QUEUE_TYPE_SELFTEST],
  [IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV, IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV],
]);

const PAGE = BigInt(PAGE_SIZE);
/** Longer queues are ENOMEM: the kernel has no room for a list of that many pages. */
const LONGEST = 16n * 1024n * 1024n;

/**
 * EOPNOTSUPP: flags, type; EINVAL: length 0, index, and what a VCMDQ does not take; EOVERFLOW, ERANGE: the range; ENOENT: vIOMMU, or a hole; EPERM: not
 * readable; EFAULT: not contiguous in memory; EEXIST: index taken; EIO: the index before it is free. Memory comes before
 * the index (c050).
 */
export function* hwQueueAlloc(call: AllocCall, cmd: Cmd): Op<IoctlResult> {
  if (cmd.flags || cmd.type === 0) return fail('EOPNOTSUPP');
  if (cmd.length === 0n) return fail('EINVAL');
  if (cmd.nesting_parent_iova + cmd.length - 1n > U64_MAX) return fail('EOVERFLOW');
  const viommu = yield* hold(call.file.context.objects, cmd.viommu_id, isViommu);
  if (!viommu.ok) return viommu;
  if (cmd.type !== QUEUE_TYPES.get(viommu.value.kind)) return fail('EOPNOTSUPP');
  const span = wholePages(cmd.nesting_parent_iova, cmd.length);
  if (!span.ok) return span;
  return yield* make(call, viommu.value, cmd, span.value);
}

/** The queue's id comes before its access's, as the kernel takes them (c050). */
function* make(call: AllocCall, viommu: Viommu, cmd: Cmd, span: IovaSpan): Op<IoctlResult> {
  const { context } = call.file;
  const queue = new HwQueue(viommu, cmd.index, new Access(true));
  for (const object of [queue, queue.access]) {
    const id = context.objects.reserve(object);
    if (!id.ok) return id;
  }
  context.objects.finalize(queue.access);
  const pinned = yield* pinQueue(queue, span);
  const made = pinned.ok ? publish(call, cmd, queue, pinned.value) : pinned;
  if (made.ok) return made;
  yield* destroyAccess(context, queue.access);
  context.objects.abort(queue);
  return made;
}

function* pinQueue({ viommu, access }: HwQueue, span: IovaSpan): Op<Result<Pinned>> {
  const { ioas } = viommu.hwpt;
  const joined = joinIoas(access, ioas);
  if (!joined.ok) return joined;
  yield* lockWrite(access.lock);
  const pinned = yield* pinPages(ioas, span, false);
  if (pinned.ok) access.items.push({ id: access.nextItem++, ...span, slices: pinned.value.slices });
  yield* unlock(access.lock);
  return pinned;
}

/** The pages around the range. */
function wholePages(iova: bigint, length: bigint): Result<IovaSpan> {
  const start = iova - (iova % PAGE);
  const size = ((iova % PAGE) + length + PAGE - 1n) & ~(PAGE - 1n);
  if (size > U64_MAX) return fail('ERANGE');
  return size > LONGEST ? fail('ENOMEM') : ok({ start, last: start + size - 1n });
}

function publish(call: AllocCall, cmd: Cmd, queue: HwQueue, { slices, runs }: Pinned): IoctlResult {
  // Somebody began to unmap it before it could be locked.
  if (slices.some(({ area }) => area.state !== 'live')) return fail('EINVAL');
  if (!isContiguous(runs)) return fail('EFAULT');
  const base = runs[0]!.frame * PAGE_SIZE + Number(cmd.nesting_parent_iova % PAGE);
  queue.memory = { base, length: Number(cmd.length) };
  const placed = place(queue);
  if (!placed.ok) return placed;
  const told = call.respond({ out_hw_queue_id: queue.id });
  if (!told.ok) return told;
  linkQueue(call.file.context, queue);
  call.file.context.objects.finalize(queue);
  return ok(0);
}

/** What the driver says to the index and the memory. */
function place({ viommu, index, memory }: HwQueue): Result<void> {
  const isCmdqv = viommu.kind === IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV;
  if (index >= (isCmdqv ? VCMDQS : IOMMU_TEST_HW_QUEUE_MAX)) return fail('EINVAL');
  if (viommu.slots.has(index)) return fail('EEXIST');
  if (index > 0 && !viommu.slots.has(index - 1)) return fail('EIO');
  return isCmdqv && !fitsVcmdq(memory) ? fail('EINVAL') : ok(undefined);
}

const isContiguous = (runs: Pinned['runs']): boolean =>
  runs.every((run, i) => i === 0 || runs[i - 1]!.frame + runs[i - 1]!.count === run.frame);
