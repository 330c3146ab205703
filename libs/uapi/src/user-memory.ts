/**
 * The caller's memory as the kernel sees it.
 *
 * The one rule: a copy in is all or nothing; a copy out writes up to the first bad page. Neither touches a page whose bytes
 * are not needed, so that a buffer that ends at an unmapped page is usable to its last byte.
 */
import type { Result } from './errno.js';
import { fail, ok } from './errno.js';

export const PAGE_SIZE = 4096;

/** A VA plus a length, both as the caller gave them. All or nothing: undefined/false means EFAULT. */
export interface UserMemory {
  read(va: bigint, length: number): Uint8Array | undefined;
  write(va: bigint, bytes: Uint8Array): boolean;
}

/** Copy in. Zero bytes always succeed, whatever the address. */
export function copyIn(user: UserMemory, va: bigint, length: number): Result<Uint8Array> {
  if (length === 0) return ok(new Uint8Array(0));
  const bytes = user.read(va, length);
  return bytes === undefined ? fail('EFAULT') : ok(bytes);
}

/** Bytes from `va` to the end of its page, at most `length`. */
const pieceLength = (va: bigint, length: number): number =>
  Math.min(length, PAGE_SIZE - Number(va & BigInt(PAGE_SIZE - 1)));

/**
 * Copy out, page by page. Zero bytes always succeed, whatever the address. EFAULT leaves what was written before the first
 * unwritable page, as the kernel does (trace p015).
 */
export function copyOut(user: UserMemory, va: bigint, bytes: Uint8Array): Result<void> {
  for (let done = 0; done < bytes.length;) {
    const at = va + BigInt(done);
    const piece = pieceLength(at, bytes.length - done);
    if (!user.write(at, bytes.subarray(done, done + piece))) return fail('EFAULT');
    done += piece;
  }
  return ok(undefined);
}

/**
 * Are `length` bytes at `va` all zero? Looks at one page at a time and stops at the first byte that decides, so a length
 * of 4 GiB costs no memory. EFAULT when an unreadable page comes before the first non-zero byte.
 */
export function isZeroed(user: UserMemory, va: bigint, length: number): Result<boolean> {
  for (let left = length; left > 0;) {
    const piece = pieceLength(va, left);
    const bytes = user.read(va, piece);
    if (bytes === undefined) return fail('EFAULT');
    if (bytes.some((byte) => byte !== 0)) return ok(false);
    va += BigInt(piece);
    left -= piece;
  }
  return ok(true);
}

/** Reads the s32 an argument points at (SET_CONTAINER's fd). */
export function readUserS32(user: UserMemory, va: bigint): Result<number> {
  const bytes = copyIn(user, va, 4);
  if (!bytes.ok) return bytes;
  const [a = 0, b = 0, c = 0, d = 0] = bytes.value;
  return ok(a | (b << 8) | (c << 16) | (d << 24));
}

/**
 * Reads a NUL-terminated string of one-byte characters. `limit` counts the NUL.
 * EFAULT when a page before the NUL is unreadable, EINVAL when there is no NUL within `limit` bytes.
 */
export function readUserString(user: UserMemory, va: bigint, limit: number = PAGE_SIZE): Result<string> {
  let text = '';
  for (let left = limit; left > 0;) {
    const piece = pieceLength(va, left);
    const bytes = user.read(va, piece);
    if (bytes === undefined) return fail('EFAULT');
    const nul = bytes.indexOf(0);
    for (const byte of nul < 0 ? bytes : bytes.subarray(0, nul)) text += String.fromCharCode(byte);
    if (nul >= 0) return ok(text);
    va += BigInt(piece);
    left -= piece;
  }
  return fail('EINVAL');
}
