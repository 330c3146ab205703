/** IOMMU_VEVENTQ_ALLOC: an event queue of a vIOMMU and its file. */
import { fail, type iommu_veventq_alloc, IOMMU_VEVENTQ_DEPTH_MAX, ok, type StructOf } from '@vfiolab/uapi';
import type { IoctlResult, Op } from '@vfiolab/core';
import { isViommu } from '../context.js';
import { hold } from '../objects.js';
import { VeventQueue } from '../vevent-queue.js';
import type { Call } from './call.js';

type AllocCall = Call<typeof iommu_veventq_alloc>;
type Cmd = StructOf<typeof iommu_veventq_alloc>;

/** EOPNOTSUPP: flags, reserved, type 0; EINVAL: depth; ENOENT; EEXIST: the type has a queue; EMFILE. */
export function* veventqAlloc(call: AllocCall, cmd: Cmd): Op<IoctlResult> {
  if (cmd.flags || cmd.__reserved || cmd.type === 0) return fail('EOPNOTSUPP');
  const { veventq_depth: depth, type } = cmd;
  if (depth === 0 || depth > IOMMU_VEVENTQ_DEPTH_MAX) return fail('EINVAL');
  const viommu = yield* hold(call.file.context.objects, cmd.viommu_id, isViommu);
  if (!viommu.ok) return viommu;
  if (viommu.value.queues.has(type)) return fail('EEXIST');
  return publish(call, new VeventQueue(viommu.value, type, depth));
}

function publish(call: AllocCall, queue: VeventQueue): IoctlResult {
  const { context, files } = call.file;
  const id = context.objects.reserve(queue);
  if (!id.ok) return id;
  const opened = files.open(call.req, { kind: 'iommufd-vevents', context, object: queue });
  const told = opened.ok ? call.respond({ out_veventq_id: id.value, out_veventq_fd: 0 }) : opened;
  if (opened.ok && told.ok) {
    queue.viommu.users++;
    queue.viommu.queues.set(queue.kind, queue);
    context.objects.finalize(queue);
    call.returnFile(opened.value);
    return ok(0);
  }
  if (opened.ok) files.undo(opened.value, call.client);
  context.objects.abort(queue);
  return told.ok ? ok(0) : told;
}
