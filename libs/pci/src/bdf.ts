/**
 * PCI addresses. A BDF is the text `dddd:bb:dd.f` (lower-case hex, the domain with at least four digits); a devfn is
 * device * 8 + function (0-255); a requester id is bus * 256 + devfn (16 bits, without the domain).
 *
 * Rule: one function has one spelling, so BDFs compare as strings and sort by number.
 */

export interface PciAddress {
  /** 32-bit domain (segment); above 0xffff for domains that Intel VMD makes. */
  readonly domain: number;
  readonly bus: number;
  /** Device ("slot") number, 0-31. */
  readonly dev: number;
  /** Function number, 0-7. */
  readonly fn: number;
}

const BDF = /^(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([01][0-9a-f])\.([0-7])$/i;

/** Parses a BDF, with or without domain (absent = 0); null when it is not one. */
export function parseBdf(text: string): PciAddress | null {
  const match = BDF.exec(text);
  if (!match) return null;
  const [, domain = '0', bus = '', dev = '', fn = ''] = match;
  return { domain: parseInt(domain, 16), bus: parseInt(bus, 16), dev: parseInt(dev, 16), fn: parseInt(fn, 16) };
}

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');

export const formatBdf = (at: PciAddress): string =>
  `${hex(at.domain, 4)}:${hex(at.bus, 2)}:${hex(at.dev, 2)}.${at.fn}`;

export const devfnOf = (at: PciAddress): number => at.dev * 8 + at.fn;

/** A key for a bus that is unique over all domains (exact: below 2^40). */
export const busKey = (domain: number, bus: number): number => domain * 256 + bus;

export const compareAddress = (a: PciAddress, b: PciAddress): number =>
  a.domain - b.domain || a.bus - b.bus || a.dev - b.dev || a.fn - b.fn;
