/**
 * Invalidations that a device with ATS does not answer: what waits for them, and for how long.
 *
 * Words: a function is *deaf* until a time when it leaves invalidations of the translations that it keeps unanswered (ms since the
 * epoch).
 * Rule (I04, I52): an invalidation is over when the DMAs in flight have landed and every device behind the domain has answered. VT-d's
 * driver asks again for as long as the device is there [dmar.c]; AMD's and the SMMU's wait for their queue and then go on
 * [amd/iommu.c, arm-smmu-v3.c]. Devices here keep no translation beyond the DMA that it was made for, so what goes on then is safe.
 */
import { type Op, time, waitUntil } from '@vfiolab/core';
import type { Domain, Domains } from './domain.js';
import type { IommuFunction } from './function.js';
import type { Unit } from './unit.js';

/** It is deaf for `ms` from now on; 0: it hears. */
export function* setDeaf(unit: Unit, bdf: string, ms: number): Op<void> {
  const device = unit.functions.get(bdf);
  if (!device?.endpoint.ats) return;
  device.deafUntil = ms === 0 ? 0 : Math.min(Number.MAX_SAFE_INTEGER, (yield* time()) + ms);
  if (ms === 0) unit.deaf.delete(device);
  else unit.deaf.add(device);
  device.heard.raise();
}

/** Deaf functions whose DMA goes through one of the domains, also as the parent of a nested one. */
function deafBehind({ deaf }: Unit, domains: Domains, through: readonly Domain[]): IommuFunction[] {
  const ids = new Set(through.flatMap(({ id }) => [id, ...domains.on(id).map((nested) => nested.id)]));
  return [...deaf].filter(
    ({ group, pasids }) => ids.has(group.attached) || [...pasids.values()].some(({ domain }) => ids.has(domain)),
  );
}

/** Answers when the domains' invalidations are over. `left`: functions that have just left them. */
export function* invalidated(
  unit: Unit,
  domains: Domains,
  through: readonly Domain[],
  left: readonly IommuFunction[] = [],
): Op<void> {
  const flushes = through.map(({ inFlight }) => inFlight.flush());
  const deaf = unit.deaf.size === 0 ? [] : [...deafBehind(unit, domains, through), ...left];
  for (const flush of flushes) yield* flush;
  for (const device of new Set(deaf)) yield* answered(unit, device);
}

function* answered(unit: Unit, device: IommuFunction): Op<void> {
  const patience = unit.driver?.atsPatience;
  let now = yield* time();
  const limit = patience === undefined ? Number.MAX_SAFE_INTEGER : now + patience;
  while (unit.deaf.has(device) && now < Math.min(device.deafUntil, limit)) {
    yield* waitUntil(device.heard, Math.min(device.deafUntil, limit));
    now = yield* time();
  }
  if (now >= device.deafUntil) unit.deaf.delete(device);
}
