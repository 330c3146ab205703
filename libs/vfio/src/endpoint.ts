/**
 * Between the processor and a function on POWER: the host bridge, which may have frozen the function's PE.
 *
 * Rule (semantics C10.5): what does not get through reads as ones, and is lost when it is a write.
 */
import { call, IOMMU, iommuApi, type Op } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import type { Bar } from './function-image.js';
import type { VfioDevice } from './vfio-device.js';

export function* getsThrough(device: VfioDevice, access: { config: boolean; write: boolean }): Op<boolean> {
  if (!device.facts.freezes) return true;
  return yield* call(IOMMU, iommuApi.endpointAccess, { bdf: device.name, ...access });
}

export const ones = (length: number): Uint8Array => new Uint8Array(length).fill(0xff);

/** A BAR of a frozen PE. EIO: memory decoding is off, which the driver asks first. */
export const frozenBar = <T>({ config }: VfioDevice, bar: Bar, answer: T): Result<T> =>
  bar.io || config.memoryEnabled ? ok(answer) : fail('EIO');
