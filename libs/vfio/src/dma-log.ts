/**
 * Which memory a function wrote to, as the function itself tells (semantics D10).
 *
 * Words: a *range* is what a client asked to watch; pages are of 4 KiB.
 * Rule: what was lost counts as written: a log that has no room any more reports every page of its ranges.
 */
import type { ByteReader, ByteWriter } from '@vfiolab/core';
import { PAGE_SIZE } from '@vfiolab/uapi';
import type { DmaLogging } from './common-device.js';

/** Written pages that a log remembers one by one. */
export const MAX_LOGGED_PAGES = 1 << 20;

const PAGE = BigInt(PAGE_SIZE);

export interface LoggedRange {
  readonly start: bigint;
  /** Last byte. */
  readonly last: bigint;
}

export class DmaLog implements DmaLogging {
  /** Undefined while no log is on. */
  private ranges: readonly LoggedRange[] | undefined;
  /** Numbers of written pages. */
  private readonly written = new Set<number>();
  private full = false;

  get canStart(): boolean {
    return !this.on;
  }

  get on(): boolean {
    return this.ranges !== undefined;
  }

  start(ranges: readonly LoggedRange[]): void {
    this.stop();
    this.ranges = ranges;
  }

  stop(): void {
    this.ranges = undefined;
    this.written.clear();
    this.full = false;
  }

  /** The function wrote to [iova, iova + length). */
  mark(iova: bigint, length: number): void {
    for (const { start, last } of this.ranges ?? []) {
      const from = iova > start ? iova : start;
      const end = iova + BigInt(length) - 1n;
      const to = end < last ? end : last;
      for (let page = from / PAGE; page <= to / PAGE && from <= to; page++) this.add(Number(page));
    }
  }

  private add(page: number): void {
    if (this.written.size < MAX_LOGGED_PAGES) this.written.add(page);
    else if (!this.written.has(page)) this.full = true;
  }

  /** Written bytes of [first, last], as spans, and forgets them. */
  take(first: bigint, last: bigint): LoggedRange[] {
    const spans: LoggedRange[] = [];
    if (this.full) for (const range of this.ranges ?? []) spans.push(...cut(range, first, last));
    for (const page of [...this.written].sort((a, b) => a - b)) {
      const start = BigInt(page) * PAGE;
      const inside = cut({ start, last: start + PAGE - 1n }, first, last);
      if (inside.length > 0) this.written.delete(page);
      spans.push(...inside);
    }
    if (this.written.size === 0) this.full = false;
    return spans;
  }

  encode(w: ByteWriter): void {
    w.bool(this.on);
    w.list(this.ranges ?? [], ({ start, last }) => (w.u64(start), w.u64(last)));
    w.list(
      [...this.written].sort((a, b) => a - b),
      (page) => w.num(page),
    );
    w.bool(this.full);
  }

  decode(r: ByteReader): void {
    const on = r.bool();
    const ranges = r.list(() => ({ start: r.u64(), last: r.u64() }));
    this.ranges = on ? ranges : undefined;
    r.list(() => this.written.add(r.num()));
    this.full = r.bool();
  }

  check(): string[] {
    return !this.on && (this.written.size > 0 || this.full) ? ['D10: a log that is off remembers pages'] : [];
  }
}

function cut({ start, last }: LoggedRange, first: bigint, end: bigint): LoggedRange[] {
  const inside = { start: start > first ? start : first, last: last < end ? last : end };
  return inside.start <= inside.last ? [inside] : [];
}
