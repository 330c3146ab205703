/**
 * The host's unused page frames.
 *
 * Words: a *free run* is a maximal range of unused frames.
 * Rule: the lowest frames that fit go first, so the same requests get the same frames in every run of a history.
 */
import type { Run } from '@vfiolab/core';
import { OrderedMap } from './ordered-map.js';

export class FreeFrames {
  /** First frame of a free run -> how many frames. */
  private readonly free = new OrderedMap<number>();
  private total = 0;

  get available(): number {
    return this.total;
  }

  /**
   * Takes `count` frames in blocks of `block` (a power of two): every block is contiguous and naturally aligned. Answers
   * ascending runs, or undefined and nothing taken when the host has no such blocks left. One walk over the free runs at
   * most, and one step for a run however long.
   */
  take(count: number, block: number): Run[] | undefined {
    if (count > this.total) return undefined;
    const out: Run[] = [];
    let missing = count;
    for (const { key, value } of this.free.entries()) {
      const frame = Math.ceil(key / block) * block;
      const usable = Math.floor((key + value - frame) / block) * block;
      if (usable <= 0) continue;
      const taken = Math.min(usable, missing);
      out.push({ frame, count: taken });
      missing -= taken;
      if (missing === 0) break;
    }
    if (missing > 0) return undefined;
    for (const run of out) this.cut(run);
    return out;
  }

  private cut({ frame, count }: Run): void {
    const { key, value } = this.free.floor(frame)!;
    const end = key + value;
    if (key < frame) this.free.set(key, frame - key);
    else this.free.delete(key);
    if (frame + count < end) this.free.set(frame + count, end - frame - count);
    this.total -= count;
  }

  /** Gives frames back and joins them with free neighbours. */
  put(frame: number, count: number): void {
    this.total += count;
    const before = this.free.floor(frame);
    if (before && before.key + before.value > frame) throw new Error(`frame ${frame} is free already`);
    if (before && before.key + before.value === frame) [frame, count] = [before.key, before.value + count];
    const next = this.free.higher(frame);
    if (next && next.key < frame + count) throw new Error(`frame ${next.key} is free already`);
    if (next && next.key === frame + count) {
      this.free.delete(next.key);
      count += next.value;
    }
    this.free.set(frame, count);
  }

  *runs(): IterableIterator<Run> {
    for (const { key, value } of this.free.entries()) yield { frame: key, count: value };
  }
}
