/** The drivers of a host, in the order in which the kernel asks them: the one that was registered last comes first. */
import type { BackendDriver } from './backend.js';
import { noiommuDriver } from './noiommu.js';
import { spaprDriver } from './spapr/driver.js';
import { type1Driver } from './type1/driver.js';

export const DRIVERS: readonly BackendDriver[] = [type1Driver, spaprDriver, noiommuDriver];

/** The driver of a backend in a snapshot. */
export function driverNamed(name: string): BackendDriver {
  const found = DRIVERS.find((driver) => driver.name === name);
  if (!found) throw new Error(`no backend driver is called ${name}`);
  return found;
}
