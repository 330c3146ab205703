/** IOMMU_HWPT_ALLOC: a paging HWPT that follows an IOAS, or a nested one on top of a nest parent. */
import { fail, type iommu_hwpt_alloc, ok, type Result, type StructOf } from '@vfiolab/uapi';
import { type IoctlResult, lockWrite, type Op, type UserData } from '@vfiolab/core';
import { type BoundDevice, isDevice, isFaultQueue, isHwpt, isIoas, isViommu } from '../context.js';
import { abortHwpt, makeHwpt } from '../hwpt.js';
import { FAULT_ID_VALID, NEST_PARENT } from '../hwpt-flags.js';
import type { Ioas } from '../ioas.js';
import { type Hwpt, makeNested } from '../nested-hwpt.js';
import { hold, isAnyObject } from '../objects.js';
import type { Call } from './call.js';

type AllocCall = Call<typeof iommu_hwpt_alloc>;
type Cmd = StructOf<typeof iommu_hwpt_alloc>;

/** Driver data longer than this is EINVAL for every driver. */
const LONGEST_DATA = 4096;

/**
 * EOPNOTSUPP: reserved; EINVAL: data without a type, or the reverse; ENOENT: the device; EINVAL: what the table stands on;
 * EOPNOTSUPP: flags, data; what the IOMMU says: EOPNOTSUPP, EINVAL, EIO; what filling says: EADDRINUSE, ENOMEM, EFAULT; and
 * last ENOENT: the fault queue.
 */
export function* hwptAlloc(call: AllocCall, cmd: Cmd): Op<IoctlResult> {
  const { context } = call.file;
  if (cmd.__reserved) return fail('EOPNOTSUPP');
  if ((cmd.data_type === 0) !== (cmd.data_len === 0)) return fail('EINVAL');
  const device = yield* hold(context.objects, cmd.dev_id, isDevice);
  if (!device.ok) return device;
  const pt = yield* hold(context.objects, cmd.pt_id, isAnyObject);
  if (!pt.ok) return fail('EINVAL');
  let hwpt: Result<Hwpt> = fail('EINVAL');
  if (isIoas(pt.value)) hwpt = yield* allocPaging(call, cmd, pt.value, device.value);
  else if (isHwpt(pt.value) || isViommu(pt.value))
    hwpt = yield* makeNested(context, pt.value, device.value, cmd.flags, dataOf(call, cmd), call.file.flags);
  return hwpt.ok ? yield* publish(call, cmd, hwpt.value) : hwpt;
}

function* allocPaging(call: AllocCall, cmd: Cmd, ioas: Ioas, device: BoundDevice): Op<Result<Hwpt>> {
  const faults = (cmd.flags & FAULT_ID_VALID) !== 0;
  if (faults && (!call.file.flags.pagingFaults || (cmd.flags & NEST_PARENT) !== 0)) return fail('EOPNOTSUPP');
  const flags = cmd.flags & ~FAULT_ID_VALID;
  if (flags & ~call.file.flags.pagingFlags) return fail('EOPNOTSUPP');
  if (cmd.data_len !== 0 && !call.file.flags.pagingData) return fail('EOPNOTSUPP');
  yield* lockWrite(ioas.mutex);
  const data = cmd.data_len !== 0 ? dataOf(call, cmd) : undefined;
  return yield* makeHwpt(call.file.context, ioas, device, flags, undefined, data);
}

function dataOf(call: AllocCall, { data_type: type, data_len: length, data_uptr }: Cmd): UserData {
  return { type, length, bytes: length <= LONGEST_DATA ? call.user.read(data_uptr, length) : undefined };
}

/** The fault queue is looked up last, when the HWPT exists. */
function* publish(call: AllocCall, cmd: Cmd, hwpt: Hwpt): Op<IoctlResult> {
  const { context } = call.file;
  const queued = yield* useFaultQueue(call, cmd, hwpt);
  const told = queued.ok ? call.respond({ out_hwpt_id: hwpt.id }) : queued;
  if (told.ok) context.objects.finalize(hwpt);
  else yield* abortHwpt(context, hwpt);
  return told.ok ? ok(0) : told;
}

function* useFaultQueue(call: AllocCall, cmd: Cmd, hwpt: Hwpt): Op<Result<void>> {
  if ((cmd.flags & FAULT_ID_VALID) === 0) return ok(undefined);
  const queue = yield* hold(call.file.context.objects, cmd.fault_id, isFaultQueue);
  if (!queue.ok) return queue;
  hwpt.fault = queue.value;
  queue.value.users++;
  return ok(undefined);
}
