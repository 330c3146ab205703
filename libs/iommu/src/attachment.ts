/**
 * May these devices be attached to a domain?
 *
 * Rule: what a driver asks of a device and its unit (semantics C3.2, C4.1, C5.1); nothing has changed when it refuses.
 */
import { DOMAIN_DIRTY_TRACKING } from '@vfiolab/core';
import type { Errno } from '@vfiolab/uapi';
import type { Domain } from './domain.js';
import { type IommuFunction, makesRequests } from './function.js';
import { MOCK_NO_DIRTY } from './mock.js';
import { vtdFits } from './nested.js';
import type { Group, Unit } from './unit.js';

export interface Move {
  /** A user answers page requests. */
  readonly faults: boolean;
  /** The group whose own attachment goes first, and with it its domain's id; a PASID keeps the old one until it has moved. */
  readonly leaving?: Group;
}

/**
 * EINVAL: a device without dirty bits, of another unit, of one that cannot enforce coherency, or a guest table that the
 * hardware cannot walk. ENODEV: `faults`, and the device makes no page requests. ENOSPC: the unit has no id left.
 */
export function refusalOf(
  unit: Unit,
  devices: readonly IommuFunction[],
  domain: Domain,
  { faults, leaving }: Move,
): Errno | undefined {
  if (devices.some((device) => !fits(unit, device, domain))) return 'EINVAL';
  const { driver } = unit;
  if (faults && driver?.pageRequests === 'required' && devices.some((d) => !makesRequests(d, driver))) return 'ENODEV';
  return driver?.idsAt === 'attach' && devices.some((d) => !hasId(unit, d, domain, leaving)) ? 'ENOSPC' : undefined;
}

function fits(unit: Unit, device: IommuFunction, domain: Domain): boolean {
  if (device.mock) return tracksDirty(device, domain.flags);
  if (unit.driver?.ownUnit && device.endpoint.unit !== domain.unit) return false;
  if (domain.coherent && !unit.isCoherent(device)) return false;
  const { guest } = domain.nested ?? {};
  return !(guest?.format === 'vtd' && !vtdFits(guest));
}

/** A domain that collects dirty bits wants devices that report them; on one host all real ones do or none. */
export const tracksDirty = ({ mock }: IommuFunction, flags: number): boolean =>
  (flags & DOMAIN_DIRTY_TRACKING) === 0 || mock === undefined || (mock.flags & MOCK_NO_DIRTY) === 0;

/** The domain has an id in the device's unit, or there is one left. */
function hasId(unit: Unit, { endpoint }: IommuFunction, { id }: Domain, leaving: Group | undefined): boolean {
  const used = unit.domainsIn(endpoint.unit, leaving);
  return used.has(id) || used.size < unit.domainIdsOf(endpoint.unit);
}
