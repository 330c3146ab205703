/**
 * ZPCI_ERROR: the oldest error of a function of s390 that nobody has read.
 *
 * Rule: `data` is where the record goes; ENOMSG when there is none, and EFAULT loses the one that was there.
 */
import { DONE } from '@vfiolab/core';
import { copyOut, fail, VFIO_DEVICE_FEATURE_GET, vfio_device_feature_zpci_err } from '@vfiolab/uapi';
import type { VfioDevice } from '../vfio-device.js';
import { type Feature, readPayload } from './feature.js';

export const zpciError: Feature<VfioDevice> = {
  operations: VFIO_DEVICE_FEATURE_GET,
  size: vfio_device_feature_zpci_err.size,
  act(c) {
    const payload = readPayload(c, vfio_device_feature_zpci_err);
    if (!payload.ok) return payload;
    const record = c.file.device.zpciErrors.take();
    if (!record) return fail('ENOMSG');
    const written = copyOut(c.user, payload.value.data, record);
    return written.ok ? DONE : written;
  },
};
