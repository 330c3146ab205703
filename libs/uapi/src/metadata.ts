/**
 * Small words the definitions use to say what they point at. See {@link UserRange} and {@link FdSlot}.
 */
import type { FdSlot, UserRange } from './ioctl.js';

/** `length` bytes of the caller's memory at `va`. */
export const range = (what: string, va: bigint, length: bigint | number, access: UserRange['access']): UserRange => ({
  what,
  va,
  length: BigInt(length),
  access,
});

/** `count` fd numbers at byte `offset` of the argument. */
export const fdAt = (offset: number, direction: FdSlot['direction'], count = 1): FdSlot => ({
  offset,
  direction,
  count,
});

/** Bytes of a bitmap of u64 words with one bit for each `pageSize` bytes of `length`. A page size of 0 needs none. */
export function bitmapBytes(length: bigint, pageSize: bigint): bigint {
  if (pageSize === 0n) return 0n;
  const bits = (length + pageSize - 1n) / pageSize;
  return ((bits + 63n) / 64n) * 8n;
}

/** What is left of `argsz` behind the first `fixed` bytes: room for a tail. */
export const tailRoom = (argsz: number, fixed: number): number => Math.max(0, argsz - fixed);
