/** The drivers of a host, in the order in which the kernel asks them: the one that was registered last comes first. */
import type { ByteReader } from '@vfiolab/core';
import type { Backend, BackendDriver } from './backend.js';
import type { Host } from './host.js';
import { noiommuDriver } from './noiommu.js';
import { spaprDriver } from './spapr/driver.js';
import { type1Driver } from './type1/driver.js';
import { Uiommu, UIOMMU } from './uiommu/uiommu.js';

export const DRIVERS: readonly BackendDriver[] = [type1Driver, spaprDriver, noiommuDriver];

/** A backend in a snapshot. */
export function decodeBackend(name: string, r: ByteReader, host: Host): Backend {
  if (name === UIOMMU) return Uiommu.decode(r, host);
  const found = DRIVERS.find((driver) => driver.name === name);
  if (!found) throw new Error(`no backend driver is called ${name}`);
  return found.decode(r, host);
}
