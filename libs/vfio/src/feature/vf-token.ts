/**
 * PCI_VF_TOKEN: the secret that VFs and their PF are opened with (semantics A3.7).
 *
 * Rule: only a PF has one; it can be set and never read. It is kept where PFs and their VFs are known, by groups.
 */
import { call, DONE, GROUPS, groupsApi } from '@vfiolab/core';
import { copyIn, VFIO_DEVICE_FEATURE_SET, VFIO_TOKEN_UUID_LENGTH, vfio_device_feature } from '@vfiolab/uapi';
import type { Feature } from './feature.js';
import type { VfioDevice } from '../vfio-device.js';

export const vfToken: Feature<VfioDevice> = {
  operations: VFIO_DEVICE_FEATURE_SET,
  size: VFIO_TOKEN_UUID_LENGTH,
  *act(c) {
    const token = copyIn(c.user, c.arg + BigInt(vfio_device_feature.size), VFIO_TOKEN_UUID_LENGTH);
    if (!token.ok) return token;
    const { bdf } = c.file.device.facts;
    yield* call(GROUPS, groupsApi.vfTokenSet, { bdf, token: token.value });
    return DONE;
  },
};
