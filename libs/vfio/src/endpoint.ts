/**
 * Between the processor and a function: a link that may be slow or down, a function that may not answer, and on POWER the host
 * bridge, which may have frozen the function's PE.
 *
 * Rule (semantics C10.5): what does not get through reads as ones, and is lost when it is a write.
 */
import { call, IOMMU, iommuApi, lockRead, type Op, sleep, time, unlock } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import type { Bar } from './function-image.js';
import type { VfioDevice } from './vfio-device.js';

interface Access {
  readonly config: boolean;
  readonly write: boolean;
}

/** Answers when the access is over. */
export function* getsThrough(device: VfioDevice, access: Access): Op<boolean> {
  if (device.faults.disturbs || device.timing.read) yield* travel(device, access);
  if (!access.config && device.config.lost) return false;
  if (device.faults.disturbs && (yield* device.isSilent())) return false;
  if (!device.facts.freezes) return true;
  return yield* call(IOMMU, iommuApi.endpointAccess, { bdf: device.name, ...access });
}

/** Writes to BARs are posted: nobody waits for them. */
function* travel({ faults, timing }: VfioDevice, { config, write }: Access): Op<void> {
  if (write && !config) return;
  const ms = faults.delay(yield* time()) + (config ? 0 : (timing.read ?? 0));
  if (ms > 0) yield* sleep(ms);
}

/** While the host resets the function, others wait with its config space. */
export function* configFree({ configAccess }: VfioDevice): Op<void> {
  if (configAccess.idle) return;
  yield* lockRead(configAccess);
  yield* unlock(configAccess);
}

export const ones = (length: number): Uint8Array => new Uint8Array(length).fill(0xff);

/** A BAR of a frozen PE. EIO: memory decoding is off, which the driver asks first. */
export const frozenBar = <T>({ config }: VfioDevice, bar: Bar, answer: T): Result<T> =>
  bar.io || config.memoryEnabled ? ok(answer) : fail('EIO');
