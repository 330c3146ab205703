/**
 * VFIO_DEVICE_FEATURE: one ioctl for many features.
 *
 * Rule: the flags are judged first (EINVAL), then whether the device has the feature (ENOTTY), then the operation, and
 * only then the payload's length; PROBE ends before that (traces b064, d005).
 */
import { DONE, type IoctlResult, type Op } from '@vfiolab/core';
import {
  fail,
  type StructOf,
  VFIO_DEVICE_FEATURE_GET,
  VFIO_DEVICE_FEATURE_MASK,
  VFIO_DEVICE_FEATURE_PROBE,
  VFIO_DEVICE_FEATURE_SET,
  vfio_device_feature,
} from '@vfiolab/uapi';
import type { CommonDevice } from '../common-device.js';
import { featureOf, type OwnFeatures } from '../feature/features.js';
import type { FeatureCall } from '../feature/feature.js';

const GET_SET = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET;
const KNOWN_FLAGS = VFIO_DEVICE_FEATURE_MASK | GET_SET | VFIO_DEVICE_FEATURE_PROBE;

/** `own`: what the driver has besides the core's. */
export const deviceFeature =
  <D extends CommonDevice>(own: OwnFeatures<D>) =>
  (call: FeatureCall<D>, { flags }: StructOf<typeof vfio_device_feature>): IoctlResult | Op<IoctlResult> =>
    answer(call, own, flags);

function answer<D extends CommonDevice>(
  call: FeatureCall<D>,
  own: OwnFeatures<D>,
  flags: number,
): IoctlResult | Op<IoctlResult> {
  if (flags & ~KNOWN_FLAGS) return fail('EINVAL');
  const probe = (flags & VFIO_DEVICE_FEATURE_PROBE) !== 0;
  const operation = flags & GET_SET;
  if (!probe && operation === GET_SET) return fail('EINVAL');
  const feature = featureOf(call.file.device, own, flags & VFIO_DEVICE_FEATURE_MASK);
  if (!feature.ok) return feature;
  if (operation & ~feature.value.operations) return fail('EINVAL');
  if (probe) return DONE;
  if (operation === 0) return fail('EINVAL');
  if (call.userSize - vfio_device_feature.size < feature.value.size) return fail('EINVAL');
  return feature.value.act(call, operation);
}
