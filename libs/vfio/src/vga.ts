/**
 * The legacy VGA addresses as a region (semantics D2.6): 128 KiB of memory, and two blocks of ports.
 *
 * Rule: outside of them there is nothing (EINVAL), and an access ends where its window ends. Behind them is hardware that does
 * nothing: it reads 0. Memory and port decoding do not matter. [vfio_pci_rdwr.c]
 */
import { fail, ok, type Result } from '@vfiolab/uapi';

export const VGA_REGION_SIZE = 0xc0000;

/** [first, end) */
const WINDOWS = [
  [0xa0000, 0xc0000],
  [0x3b0, 0x3bc],
  [0x3c0, 0x3e0],
] as const;

/** Bytes of an access that lie in a window. */
export function insideVga(offset: number, length: number): Result<number> {
  const window = WINDOWS.find(([first, end]) => offset >= first && offset < end);
  return window ? ok(Math.min(length, window[1] - offset)) : fail('EINVAL');
}
