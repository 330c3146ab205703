/**
 * Virtual time: what happens when.
 *
 * Rule: events at the same time happen in the order in which they were planned. Time is in ms and only moves by events.
 */
export interface Planned {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

/** A binary heap by (time, order of planning). */
export class Agenda {
  now = 0;
  private readonly heap: Planned[] = [];
  private planned = 0;

  get size(): number {
    return this.heap.length;
  }

  after(ms: number, run: () => void): void {
    this.heap.push({ at: this.now + ms, order: this.planned++, run });
    this.up(this.heap.length - 1);
  }

  /** Runs the next event; false when there is none. */
  step(): boolean {
    const first = this.heap[0];
    if (!first) return false;
    const last = this.heap.pop()!;
    if (this.heap.length > 0) {
      this.heap[0] = last;
      this.down(0);
    }
    this.now = first.at;
    first.run();
    return true;
  }

  private up(i: number): void {
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!before(this.heap[i]!, this.heap[parent]!)) return;
      this.swap(i, parent);
      i = parent;
    }
  }

  private down(i: number): void {
    for (;;) {
      const left = 2 * i + 1;
      if (left >= this.heap.length) return;
      const right = left + 1;
      const least = right < this.heap.length && before(this.heap[right]!, this.heap[left]!) ? right : left;
      if (!before(this.heap[least]!, this.heap[i]!)) return;
      this.swap(i, least);
      i = least;
    }
  }

  private swap(a: number, b: number): void {
    const t = this.heap[a]!;
    this.heap[a] = this.heap[b]!;
    this.heap[b] = t;
  }
}

const before = (a: Planned, b: Planned): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);
