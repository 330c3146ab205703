/** VFIO_CHECK_EXTENSION: what the backend can do; without one, what any driver that may still be chosen can do. */
import type { Container } from '../container.js';
import { DRIVERS } from '../drivers.js';
import type { Host } from '../host.js';

/** 0 or positive; never fails. */
export function checkExtension({ backend, groups }: Container, host: Host, extension: number): number {
  if (backend) return backend.checkExtension(extension);
  const [first] = groups;
  const asked = DRIVERS.filter(({ noiommu }) => !first || noiommu === first.noiommu);
  return asked.some((driver) => driver.offers(extension, host)) ? 1 : 0;
}
