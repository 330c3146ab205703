/**
 * The caller's bitmap of GET_DIRTY_BITMAP.
 *
 * Words: a bit stands for the largest power of two that divides `page_size`: so the kernel reads a page size that is
 * none (a028, step 22). Bit 0 is the first byte that was asked for.
 * Rule: bits are only ever added, and only where the caller's memory is.
 */
import type { UserMemory } from '@vfiolab/uapi';

/** Bytes of the bitmap that are read and written at a time. */
const WINDOW = 4096;

export class DirtyBitmap {
  /** Windows that were touched, by number; undefined: the caller's memory is not there. */
  private readonly windows = new Map<number, Uint8Array | undefined>();
  private readonly shift: bigint;

  constructor(
    private readonly user: UserMemory,
    private readonly va: bigint,
    private readonly iova: bigint,
    pageSize: bigint,
  ) {
    let shift = 0n;
    while (((pageSize >> shift) & 1n) === 0n) shift++;
    this.shift = shift;
  }

  /** Dirty granules of `size` bytes from `iova` on, one bit each. */
  record(iova: bigint, size: bigint, bits: Uint8Array): void {
    for (let byte = 0; byte < bits.length; byte++)
      for (let bit = 0; bits[byte]! >> bit !== 0; bit++)
        if ((bits[byte]! >> bit) & 1) this.set(iova + BigInt(byte * 8 + bit) * size, size);
  }

  private set(iova: bigint, length: bigint): void {
    const first = Number((iova - this.iova) >> this.shift);
    const last = Number((iova - this.iova + length - 1n) >> this.shift);
    for (let bit = first; bit <= last; bit++) {
      const at = Math.floor(bit / 8);
      const window = this.window(Math.floor(at / WINDOW));
      if (window && at % WINDOW < window.length) window[at % WINDOW]! |= 1 << (bit % 8);
    }
  }

  /** As much of a window as the caller's memory holds, from its start. */
  private window(n: number): Uint8Array | undefined {
    if (!this.windows.has(n)) {
      const va = this.va + BigInt(n * WINDOW);
      let length = WINDOW;
      while (length > 0 && !this.user.read(va, length)) length = longest(this.user, va, length);
      this.windows.set(n, this.user.read(va, length)?.slice());
    }
    return this.windows.get(n);
  }

  writeBack(): void {
    for (const [n, bytes] of this.windows) if (bytes) this.user.write(this.va + BigInt(n * WINDOW), bytes);
  }
}

/** The most bytes below `length` that can be read at `va`. */
function longest(user: UserMemory, va: bigint, length: number): number {
  let low = 0;
  let high = length - 1;
  while (low < high) {
    const mid = Math.ceil((low + high) / 2);
    if (user.read(va, mid)) low = mid;
    else high = mid - 1;
  }
  return low;
}
