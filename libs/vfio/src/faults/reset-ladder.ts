/**
 * How the kernel resets one function: method after method, until one works. [pci.c]
 *
 * Words: a function is *ready* when it answers again after a reset; the kernel looks for that after 1 ms, 2, 4 and so on.
 * Rule: a method that cannot be used, or after which the function does not become ready, is ENOTTY, and the next one has its turn;
 * when none is left the answer is ENOTTY (semantics D6.1). Where no fault and no model says otherwise a reset takes no time.
 */
import { lockWrite, type Op, sleep, time, unlock } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import { NEVER } from './device-faults.js';
import type { VfioDevice } from '../vfio-device.js';

/** The first pause that is not made any more, ms: 1 + 2 + 4 ... + 32,768 have been by then. */
const MOST_PAUSE = 60_000;
/** ms that every device has before it is looked at first. Two changes of the power state take 10 each. */
export const SETTLE = 100;
const SETTLE_PM = 20;

/** The caller holds `memory` for writing, so no DMA is under way. ENOTTY: the function was not reset, or does not answer. */
export function* resetLadder(device: VfioDevice): Op<Result<void>> {
  yield* lockWrite(device.configAccess);
  const done = yield* anyMethod(device);
  // The host puts registers back that nobody takes in.
  if (!done && (yield* device.isSilent())) device.config.lose();
  yield* unlock(device.configAccess);
  return done ? ok(undefined) : fail('ENOTTY');
}

function* anyMethod(device: VfioDevice): Op<boolean> {
  for (const method of [...device.resets]) if (yield* works(device, method)) return true;
  return false;
}

function* works(device: VfioDevice, method: string): Op<boolean> {
  const { faults } = device;
  const silent = yield* device.isSilent();
  // Its power control reads as ones: a function that keeps its state is not reset so.
  if (method === 'pm' && silent) return false;
  if (faults.takeFailure()) return false;
  // Other methods are the bridge's; a function that does not answer does not hear of these.
  const heard = !silent || (method !== 'flr' && method !== 'af_flr');
  if (heard) yield* device.resetHardware(method === 'bus');
  if (!(yield* device.isSilent())) return true;
  yield* sleep(method === 'pm' ? SETTLE_PM : SETTLE);
  return yield* ready(device);
}

/** False: the kernel has given up, or the device is gone and it does not wait. */
export function* ready(device: VfioDevice): Op<boolean> {
  for (let pause = 1; yield* device.isSilent(); pause *= 2) {
    if (device.faults.gone || pause > MOST_PAUSE) return false;
    yield* sleep(pause);
  }
  return true;
}

/** A reset has reached the function: it is silent for as long as its faults and its own timing have it. */
export function* beginSilence(device: VfioDevice, bus: boolean): Op<void> {
  const { faults, timing, resetCount } = device;
  const { stuckEvery = 0 } = timing;
  const stuck = !bus && stuckEvery > 0 && resetCount % stuckEvery === 0;
  const ms = Math.max(faults.takeSilence(), stuck ? NEVER : (timing.reset ?? 0));
  if (ms > 0 || faults.silentUntil > 0) faults.silence(yield* time(), ms);
}
