/**
 * Ranges of IOVA, and ordered sets of them.
 *
 * Words: `last` is inclusive: only it can name the top of the 64-bit space. A *hole* is what a set leaves free.
 * Rule: a `SpanSet` is ordered by start. Its members may overlap only in a set that is made to allow it (reserved
 * ranges have several owners); areas never do.
 */
export const U64_MAX = 0xffff_ffff_ffff_ffffn;

export interface IovaSpan {
  readonly start: bigint;
  readonly last: bigint;
}

export const overlaps = (a: IovaSpan, b: IovaSpan): boolean => a.start <= b.last && b.start <= a.last;

/** Members in one chunk at most; a chunk that is full is split in two. */
const CHUNK = 512;

/** Disjoint spans in order, in chunks: look-up is two binary searches, insertion moves at most one chunk. */
export class SpanSet<T extends IovaSpan> {
  private chunks: T[][] = [];
  private count = 0;

  get size(): number {
    return this.count;
  }

  /** The first member that reaches `iova` or lies behind it. */
  from(iova: bigint): T | undefined {
    const c = lowest(this.chunks.length, (i) => this.chunks[i]![this.chunks[i]!.length - 1]!.last >= iova);
    const chunk = this.chunks[c];
    return chunk?.[lowest(chunk.length, (i) => chunk[i]!.last >= iova)];
  }

  /** The first member that meets the span. */
  first(span: IovaSpan): T | undefined {
    const found = this.from(span.start);
    return found && found.start <= span.last ? found : undefined;
  }

  /** The member behind this one. */
  next(item: T): T | undefined {
    return item.last === U64_MAX ? undefined : this.from(item.last + 1n);
  }

  *within(span: IovaSpan): IterableIterator<T> {
    for (let item = this.first(span); item; item = this.next(item)) {
      if (item.start > span.last) return;
      yield item;
    }
  }

  insert(item: T): void {
    if (this.first(item)) throw new Error('a span was inserted over another');
    this.count++;
    const c = lowest(this.chunks.length, (i) => this.chunks[i]![this.chunks[i]!.length - 1]!.start > item.start);
    const chunk = this.chunks[c] ?? this.chunks[c - 1];
    if (!chunk) {
      this.chunks.push([item]);
      return;
    }
    chunk.splice(
      lowest(chunk.length, (i) => chunk[i]!.start > item.start),
      0,
      item,
    );
    if (chunk.length > CHUNK) this.chunks.splice(this.chunks.indexOf(chunk) + 1, 0, chunk.splice(CHUNK / 2));
  }

  delete(item: T): void {
    const c = lowest(this.chunks.length, (i) => this.chunks[i]![this.chunks[i]!.length - 1]!.start >= item.start);
    const chunk = this.chunks[c];
    const at = chunk ? chunk.indexOf(item) : -1;
    if (!chunk || at < 0) throw new Error('a span was deleted that is not in the set');
    chunk.splice(at, 1);
    if (chunk.length === 0) this.chunks.splice(c, 1);
    this.count--;
  }

  *[Symbol.iterator](): IterableIterator<T> {
    for (const chunk of this.chunks) yield* chunk;
  }
}

/** The lowest index for which `test` holds, given that it holds from some index on; `n` when it never does. */
function lowest(n: number, test: (i: number) => boolean): number {
  let low = 0;
  let high = n;
  while (low < high) {
    const mid = (low + high) >> 1;
    if (test(mid)) high = mid;
    else low = mid + 1;
  }
  return low;
}

/** What is left of `within` when all spans (any order, may overlap) are taken out. */
export function holes(spans: Iterable<IovaSpan>, within: IovaSpan): IovaSpan[] {
  const sorted = [...spans].sort((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0));
  const out: IovaSpan[] = [];
  let start = within.start;
  for (const s of sorted) {
    if (s.last < start) continue;
    if (s.start > within.last) break;
    if (s.start > start) out.push({ start, last: s.start - 1n });
    if (s.last >= within.last) return out;
    start = s.last + 1n;
  }
  out.push({ start, last: within.last });
  return out;
}
