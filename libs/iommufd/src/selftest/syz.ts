/** The fuzzers' way to name an IOVA: not an address, but the n-th area and an offset, which a random number can hit. */
import type { Ioas } from '../ioas.js';

/** {u32 n, u32 offset} as the IOVA of an area of the IOAS; 0 when there is no such area. */
export function nthAreaIova(ioas: Ioas | undefined, packed: bigint): bigint {
  let n = Number(packed & 0xffffffffn);
  for (const area of ioas?.areas ?? []) if (n-- === 0) return area.start + (packed >> 32n);
  return 0n;
}
