/**
 * What one feature of VFIO_DEVICE_FEATURE is to the ioctl.
 *
 * Words: the *payload* is what follows the ioctl's header of 8 bytes.
 * Rule: a feature acts only after its operation and the payload's length were judged.
 */
import type { IoctlResult, Op } from '@vfiolab/core';
import { type AnyStruct, copyIn, copyOut, decode, encode, type Result, type StructOf, ok } from '@vfiolab/uapi';
import { type vfio_device_feature, vfio_device_feature as header } from '@vfiolab/uapi';
import type { CommonDevice } from '../common-device.js';
import type { DeviceCall } from '../device-call.js';

export type FeatureCall<D = CommonDevice> = DeviceCall<typeof vfio_device_feature, D>;

export interface Feature<D = CommonDevice> {
  /** VFIO_DEVICE_FEATURE_GET, _SET or both. */
  readonly operations: number;
  /** Bytes of payload at least. */
  readonly size: number;
  act(call: FeatureCall<D>, operation: number): IoctlResult | Op<IoctlResult>;
}

const payloadAt = (call: FeatureCall): bigint => call.arg + BigInt(header.size);

/** EFAULT. */
export function readPayload<S extends AnyStruct>(call: FeatureCall, struct: S): Result<StructOf<S>> {
  const bytes = copyIn(call.user, payloadAt(call), struct.size);
  return bytes.ok ? ok(decode(struct, bytes.value) as StructOf<S>) : bytes;
}

/** EFAULT. */
export const writePayload = <S extends AnyStruct>(call: FeatureCall, struct: S, value: StructOf<S>): Result<void> =>
  copyOut(call.user, payloadAt(call), encode(struct, value as never));
