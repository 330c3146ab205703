/**
 * The extended capabilities by which a function takes part in address translation: ATS, PRI and PASID.
 *
 * Rule: read from config space as dumped; a source that shows no extended config space shows none of them.
 */
import type { PciFunction } from './pci-function.js';

const FIRST_EXTENDED = 0x100;
const [ATS, PRI, PASID] = [0x0f, 0x13, 0x1b];
/** Capabilities in 4,096 bytes at most. */
const MAX_LINKS = 960;
/** Offset of a PASID capability's register. */
const PASID_CAP = 4;

export interface TranslationCaps {
  readonly ats: boolean;
  readonly pri: boolean;
  /** Width in bits; 0: no PASIDs. */
  readonly pasidBits: number;
  /** 2 execute, 4 privileged: as PASID requests may ask for. */
  readonly pasidCaps: number;
}

export function translationCaps({ config }: PciFunction): TranslationCaps {
  const places = config && config.length > FIRST_EXTENDED ? extendedCaps(config) : new Map<number, number>();
  const at = places.get(PASID);
  const register = at === undefined ? 0 : read16(config!, at + PASID_CAP);
  return {
    ats: places.has(ATS),
    pri: places.has(PRI),
    pasidBits: at === undefined ? 0 : (register >> 8) & 0x1f,
    pasidCaps: register & 6,
  };
}

/** First place of each capability, by id. */
function extendedCaps(config: Uint8Array): Map<number, number> {
  const places = new Map<number, number>();
  let at = FIRST_EXTENDED;
  for (let links = 0; links < MAX_LINKS && at >= FIRST_EXTENDED && at + 8 <= config.length; links++) {
    const id = read16(config, at);
    if (id !== 0 && id !== 0xffff && !places.has(id)) places.set(id, at);
    at = (read16(config, at + 2) >> 4) & ~3;
  }
  return places;
}

const read16 = (config: Uint8Array, at: number): number => config[at]! | (config[at + 1]! << 8);
