/** TRIGGER_IOPF: a mock device's page request, the last of its group. */
import { fail, type iommu_test_trigger_iopf, type StructOf } from '@vfiolab/uapi';
import type { IoctlResult, Op } from '@vfiolab/core';
import { type BoundDevice, isDevice } from '../context.js';
import { RID } from '../fault-queue.js';
import type { Hwpt } from '../nested-hwpt.js';
import { hold } from '../objects.js';
import { pasidHwpt } from '../pasid.js';
import { done, type TestCall } from './call.js';

const PASID_VALID = 1;
const LAST_PAGE = 2;

/** ENOENT; EINVAL: not a mock device. A request that nobody handles is answered with failure, and the op succeeds. */
export function* triggerIopf(
  call: TestCall,
  _id: number,
  { dev_id, pasid, grpid, perm, addr }: StructOf<typeof iommu_test_trigger_iopf>,
): Op<IoctlResult> {
  const device = yield* hold(call.file.context.objects, dev_id, isDevice);
  if (!device.ok) return device;
  if (!device.value.mock) return fail('EINVAL');
  const flags = LAST_PAGE | (pasid !== RID ? PASID_VALID : 0);
  const own = pasid === RID ? undefined : pasidHwpt(device.value, pasid);
  const hwpt = own ?? handlerOf(device.value, pasid);
  const requests = [{ flags, pasid, grpid, perm, addr }];
  hwpt?.fault?.report({ pasid: own ? pasid : RID, device: device.value, hwpt, requests, request: 0 });
  return done;
}

/** Requests of a PASID that nobody attached go to the nested HWPT of the device, whose guest keeps the PASID table (C8). */
function handlerOf({ igroup }: BoundDevice, pasid: number): Hwpt | undefined {
  const { hwpt } = igroup;
  return pasid === RID || hwpt?.type === 'nested' ? hwpt : undefined;
}
