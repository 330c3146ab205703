/**
 * Addresses: who sends and who receives, inside one host of one lab.
 *
 * Rule: an address is one subject token: letters, digits, `-`, `_` and `:`. A device's dot becomes `_`.
 */
export type Address = string;

export const GROUPS: Address = 'groups';
export const PAGES: Address = 'pages';
export const IOMMU: Address = 'iommu';
export const IOMMUFD: Address = 'iommufd';
export const CONTAINER: Address = 'container';
export const LAB: Address = 'lab';
const DEVICE_PREFIX = 'device:';
const CLIENT_PREFIX = 'client:';

/** The actor of one PCI function, `device:0000:65:00_0`, or of a mediated device, by its UUID. */
export const deviceAddress = (bdf: string): Address => DEVICE_PREFIX + bdf.replace('.', '_');
export const deviceOf = (address: Address): string | undefined =>
  address.startsWith(DEVICE_PREFIX) ? address.slice(DEVICE_PREFIX.length).replace('_', '.') : undefined;
export const clientAddress = (name: string): Address => CLIENT_PREFIX + name;
export const isClient = (address: Address): boolean => address.startsWith(CLIENT_PREFIX);
/** The service that an address belongs to: `device` for `device:0000:65:00_0`. */
export function serviceOf(address: Address): string {
  const end = address.indexOf(':');
  return end < 0 ? address : address.slice(0, end);
}

export const isAddress = (s: string): boolean => /^[A-Za-z0-9_:-]{1,80}$/.test(s);
