/**
 * Dirty bits in the caller's memory.
 *
 * Words: a *request* is what the caller said about his bitmap; one bit stands for one page of the smallest size.
 * Rule: no device behind an IOMMU can say which pages it wrote, so every page that a domain shows is dirty (SURPRISES 46);
 * of what only mediated devices could reach, those are dirty that their drivers have pinned or written.
 */
import { fail, ok, type Result, type UserMemory } from '@vfiolab/uapi';
import type { Mapping } from './mappings.js';

/** struct vfio_bitmap: bytes of one bit's page, bytes of the bitmap, address. */
export interface BitmapRequest {
  readonly pgsize: bigint;
  readonly size: bigint;
  readonly data: bigint;
}

const MAX_PAGES = (1n << 31n) - 1n;
const WORD = 8;
const WORD_BITS = 64;
/** Behind the end of user space nothing can be written (x86-64, 5 levels). */
const USER_END = (1n << 56n) - 4096n;

const wordBytes = (bits: bigint): bigint => ((bits + 63n) / 64n) * 8n;
/** Bytes of the largest bitmap that can be asked for. */
export const MAX_BITMAP_BYTES = wordBytes(MAX_PAGES);

/** Can dirty pages of this mapping be collected? */
export const isTrackable = (count: number): boolean => BigInt(count) <= MAX_PAGES;

/** Is the bitmap in user space and large enough for `length` bytes of IOVA? EINVAL. */
export function judgeBitmap({ pgsize, size, data }: BitmapRequest, length: bigint): Result<void> {
  if (size > USER_END || data > USER_END - size) return fail('EINVAL');
  const pages = length / (pgsize & -pgsize || 1n);
  return pages === 0n || size === 0n || size > MAX_BITMAP_BYTES || size < wordBytes(pages)
    ? fail('EINVAL')
    : ok(undefined);
}

/**
 * Writes the bits of a mapping into a bitmap that begins at page `base`: whole 64-bit words, of which the bits before the
 * mapping stay as the caller has them. False: EFAULT.
 */
export function reportDirty(
  user: UserMemory,
  data: bigint,
  base: number,
  { first, count, pinned, dirty }: Mapping,
): boolean {
  const bit = first - base;
  const shift = bit % WORD_BITS;
  const at = data + BigInt(((bit - shift) / WORD_BITS) * WORD);
  const words = new Uint8Array(Math.ceil((count + shift) / WORD_BITS) * WORD);
  const mark = (i: number): number => (words[i >> 3]! |= 1 << (i & 7));
  for (let i = shift; pinned && i < shift + count; i++) mark(i);
  for (const at of dirty) mark(shift + at);
  if (shift > 0) {
    const before = user.read(at, WORD);
    if (!before) return false;
    for (let i = 0; i < shift; i++) words[i >> 3]! |= before[i >> 3]! & (1 << (i & 7));
  }
  return user.write(at, words);
}
