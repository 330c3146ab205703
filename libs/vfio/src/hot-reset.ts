/**
 * A function's part in a reset of its slot or bus.
 *
 * Rule: a function that has stopped asks the next one and waits, so all have stopped before the last of them is reset; then
 * they are reset from the last to the first, and each answers again at once. A function is stopped when no access to its
 * registers, and so no DMA, is under way and none can begin. Nobody waits for an access to end (EBUSY), so two functions
 * that reach into each other cannot wait for each other (semantics D6.3).
 */
import { call, deviceAddress, deviceApi, lockWrite, type Op, sleep } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import { ready, SETTLE } from './faults/reset-ladder.js';
import type { VfioDevice } from './vfio-device.js';

/**
 * `rest`: functions of the same reset that come after this one. EBUSY: one is in use, and none was reset. ENOTTY: they were, and this
 * one does not answer.
 */
export function* joinHotReset(device: VfioDevice, rest: readonly string[]): Op<Result<void>> {
  yield* lockWrite(device.set);
  yield* device.wakeUp();
  if (!device.memory.idle) return fail('EBUSY');
  yield* lockWrite(device.memory);
  const [next, ...others] = rest;
  if (next !== undefined) {
    const joined = yield* call(deviceAddress(next), deviceApi.hotReset, { rest: others });
    // A function behind the first that does not come back is nobody's concern.
    if (!joined.ok && joined.errno !== 'ENOTTY') return joined;
  }
  yield* device.beforeReset();
  yield* device.resetHardware(true);
  if (!(yield* device.isSilent())) return ok(undefined);
  yield* sleep(SETTLE);
  if (yield* ready(device)) return ok(undefined);
  device.config.lose();
  return fail('ENOTTY');
}
