/**
 * dma-bufs over BARs: what a client exported, and whether its importers may reach it (semantics D11).
 *
 * Words: a *dead* dma-buf belongs to a file of the function that was closed: it stays open and is of no use any more.
 * Rule: while the function's windows do not answer (memory decoding off, D3, low power) its dma-bufs are revoked: what was
 * mapped of them is gone for good, and they may be mapped anew when the windows answer again.
 */
import type { ByteReader, ByteWriter } from '@vfiolab/core';
import { fail, ok, PAGE_SIZE, type Result } from '@vfiolab/uapi';

export interface DmaRange {
  /** Bytes in the BAR; both are whole pages. */
  readonly offset: number;
  readonly length: number;
}

export class DmabufFile {
  readonly kind = 'dmabuf';
  dead = false;

  constructor(
    readonly id: number,
    /** The frame that stands for the BAR's first page. */
    readonly frame: number,
    readonly ranges: readonly DmaRange[],
  ) {}

  get length(): number {
    return this.ranges.reduce((sum, range) => sum + range.length, 0);
  }

  /** Memory [start, start + length). EINVAL: not all inside; ENODEV: revoked; EOPNOTSUPP: several ranges (trace d007). */
  open(start: bigint, length: bigint, answers: boolean): Result<{ frame: number; pages: number }> {
    if (length === 0n || start + length > BigInt(this.length)) return fail('EINVAL');
    if (this.dead || !answers) return fail('ENODEV');
    const [only] = this.ranges;
    if (this.ranges.length !== 1) return fail('EOPNOTSUPP');
    return ok({ frame: this.frame + only!.offset / PAGE_SIZE, pages: only!.length / PAGE_SIZE });
  }

  encode(w: ByteWriter): void {
    w.bool(this.dead);
    w.num(this.frame);
    w.list(this.ranges, ({ offset, length }) => {
      w.num(offset);
      w.num(length);
    });
  }

  static decode(r: ByteReader, id: number): DmabufFile {
    const [dead, frame] = [r.bool(), r.num()];
    const file = new DmabufFile(
      id,
      frame,
      r.list(() => ({ offset: r.num(), length: r.num() })),
    );
    file.dead = dead;
    return file;
  }
}
