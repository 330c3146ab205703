/** IOMMU_FAULT_QUEUE_ALLOC: a queue of page requests and its file. */
import { fail, type iommu_fault_alloc, ok, type StructOf } from '@vfiolab/uapi';
import type { IoctlResult } from '@vfiolab/core';
import { FaultQueue } from '../fault-queue.js';
import type { Call } from './call.js';

/** EOPNOTSUPP: flags; EMFILE: no fd; EFAULT. The number of the file is put in by whoever installs it. */
export function faultQueueAlloc(
  call: Call<typeof iommu_fault_alloc>,
  cmd: StructOf<typeof iommu_fault_alloc>,
): IoctlResult {
  if (cmd.flags) return fail('EOPNOTSUPP');
  const { context, files } = call.file;
  const queue = new FaultQueue();
  const id = context.objects.reserve(queue);
  if (!id.ok) return id;
  const opened = files.open(call.req, { kind: 'iommufd-fault', context, object: queue });
  const told = opened.ok ? call.respond({ out_fault_id: id.value, out_fault_fd: 0 }) : opened;
  if (opened.ok && told.ok) {
    context.objects.finalize(queue);
    call.returnFile(opened.value);
    return ok(0);
  }
  if (opened.ok) files.undo(opened.value, call.client);
  context.objects.abort(queue);
  return told.ok ? ok(0) : told;
}
