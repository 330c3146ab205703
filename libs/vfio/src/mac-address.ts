/** Ethernet addresses of functions: locally administered, and made of where the function is, so no two of a host are the same. */
import { parseBdf } from '@vfiolab/pci';

export function macOf(bdf: string): Uint8Array {
  const { domain = 0, bus = 0, dev = 0, fn = 0 } = parseBdf(bdf) ?? {};
  return Uint8Array.of(2, 0, domain >>> 8, domain, bus, (dev << 3) | fn);
}
