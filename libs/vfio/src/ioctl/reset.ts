/**
 * VFIO_DEVICE_RESET: EINVAL when no reset method worked at open (trace b060); ENOTTY when none is allowed any more (sysfs:
 * reset_method),
 * or none has worked. Waits until accesses to BARs have ended.
 */
import { DONE, type IoctlResult, lockWrite, type Op } from '@vfiolab/core';
import { fail } from '@vfiolab/uapi';
import type { VfioDevice } from '../vfio-device.js';

export function* reset(device: VfioDevice): Op<IoctlResult> {
  if (!device.resetWorks) return fail('EINVAL');
  if (device.resets.length === 0) return fail('ENOTTY');
  yield* lockWrite(device.memory);
  const reset = yield* device.resetFunction();
  return reset.ok ? DONE : reset;
}
