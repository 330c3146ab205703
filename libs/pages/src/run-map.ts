/**
 * Which page frame stands behind which page: a process's page table, and the frames that a store holds.
 *
 * Words: a *run* is contiguous in pages and in frames; a *piece* is a run with its first page; a *hole* has no frame.
 * Rule: runs are disjoint and as long as they can be, so 1 TiB of contiguous memory is one entry.
 */
import type { ByteReader, ByteWriter, Run } from '@vfiolab/core';
import type { Span } from './extents.js';
import { OrderedMap } from './ordered-map.js';

export interface Piece extends Run {
  /** First page (or slot) of the run. */
  readonly page: number;
}

export class RunMap {
  private readonly runs = new OrderedMap<Run>();
  private total = 0;

  /** Pages that have a frame. */
  get pages(): number {
    return this.total;
  }

  /** Puts a run where holes are. */
  put(page: number, frame: number, count: number): void {
    this.total += count;
    const before = this.runs.floor(page);
    if (before && before.key + before.value.count > page) throw new Error(`page ${page} has a frame already`);
    if (before && before.key + before.value.count === page && before.value.frame + before.value.count === frame)
      [page, frame, count] = [before.key, before.value.frame, before.value.count + count];
    const next = this.runs.higher(page);
    if (next && next.key < page + count) throw new Error(`page ${next.key} has a frame already`);
    if (next && next.key === page + count && next.value.frame === frame + count) {
      this.runs.delete(next.key);
      count += next.value.count;
    }
    this.runs.set(page, { frame, count });
  }

  /** Empties [first, end) and answers what stood there, ascending. */
  remove(first: number, end: number): Piece[] {
    const out = this.pieces(first, end);
    for (const { page, frame, count } of out) this.cut(page, frame, count);
    return out;
  }

  /** Takes one piece out of the run around it. */
  private cut(page: number, frame: number, count: number): void {
    const { key, value } = this.runs.floor(page)!;
    const end = key + value.count;
    this.runs.delete(key);
    if (key < page) this.runs.set(key, { frame: value.frame, count: page - key });
    if (end > page + count) this.runs.set(page + count, { frame: frame + count, count: end - page - count });
    this.total -= count;
  }

  /** What stands in [first, end), cut to it, ascending. */
  pieces(first: number, end: number): Piece[] {
    const out: Piece[] = [];
    for (let run = this.runs.floor(first) ?? this.runs.higher(first); run && run.key < end;) {
      const { key, value } = run;
      const page = Math.max(key, first);
      const behind = key + value.count;
      if (behind > page) out.push({ page, frame: value.frame + page - key, count: Math.min(behind, end) - page });
      run = behind < end ? this.runs.higher(key) : undefined;
    }
    return out;
  }

  /** The parts of [first, end) without a frame, ascending. */
  holes(first: number, end: number): Span[] {
    const out: Span[] = [];
    let at = first;
    for (const { page, count } of this.pieces(first, end)) {
      if (page > at) out.push({ first: at, end: page });
      at = page + count;
    }
    if (at < end) out.push({ first: at, end });
    return out;
  }

  *all(): IterableIterator<Piece> {
    for (const { key, value } of this.runs.entries()) yield { page: key, frame: value.frame, count: value.count };
  }

  encode(w: ByteWriter): void {
    w.list([...this.all()], ({ page, frame, count }) => {
      w.num(page);
      w.num(frame);
      w.num(count);
    });
  }

  static decode(r: ByteReader): RunMap {
    const out = new RunMap();
    for (const [page, frame, count] of r.list(() => [r.num(), r.num(), r.num()] as const)) out.put(page, frame, count);
    return out;
  }
}
