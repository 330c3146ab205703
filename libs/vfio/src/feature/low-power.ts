/**
 * LOW_POWER_ENTRY, LOW_POWER_ENTRY_WITH_WAKEUP, LOW_POWER_EXIT (semantics D7.2).
 *
 * Rule: entering twice is EINVAL, leaving twice is fine. The function sleeps when the ioctl has returned; the next call on
 * its file wakes it, and with a wake-up eventfd that ends low power.
 */
import { call, DONE, lockWrite, PAGES, pagesApi } from '@vfiolab/core';
import { fail, VFIO_DEVICE_FEATURE_SET, vfio_device_low_power_entry_with_wakeup } from '@vfiolab/uapi';
import { holdEventfd } from '../eventfds.js';
import { type Feature, readPayload } from './feature.js';
import type { VfioDevice } from '../vfio-device.js';

export const lowPowerEntry: Feature<VfioDevice> = {
  operations: VFIO_DEVICE_FEATURE_SET,
  size: 0,
  *act({ file: { device } }) {
    yield* lockWrite(device.memory);
    if (device.power.engaged) return fail('EINVAL');
    yield* device.enterLowPower(undefined);
    return DONE;
  },
};

/** EFAULT; EINVAL: a negative fd, or in low power already; EBADF. */
export const lowPowerEntryWithWakeup: Feature<VfioDevice> = {
  operations: VFIO_DEVICE_FEATURE_SET,
  size: vfio_device_low_power_entry_with_wakeup.size,
  *act(c) {
    const { device } = c.file;
    const entry = readPayload(c, vfio_device_low_power_entry_with_wakeup);
    if (!entry.ok) return entry;
    if (entry.value.wakeup_eventfd < 0) return fail('EINVAL');
    const wake = yield* holdEventfd(c, entry.value.wakeup_eventfd);
    if (!wake.ok) return wake;
    yield* lockWrite(device.memory);
    if (device.power.engaged) {
      yield* call(PAGES, pagesApi.eventfdDrop, { event: wake.value });
      return fail('EINVAL');
    }
    yield* device.enterLowPower(wake.value);
    return DONE;
  },
};

export const lowPowerExit: Feature<VfioDevice> = {
  operations: VFIO_DEVICE_FEATURE_SET,
  size: 0,
  *act({ file: { device } }) {
    yield* lockWrite(device.memory);
    yield* device.leaveLowPower();
    return DONE;
  },
};
