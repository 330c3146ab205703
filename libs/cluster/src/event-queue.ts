/** What happens when: the earliest first, of the same time the one that was added first. A binary heap in columns. */
import { widened } from './occupancies.js';

export class EventQueue {
  private times = new Float64Array(1024);
  private order = new Float64Array(1024);
  private kinds = new Uint8Array(1024);
  private subjects = new Int32Array(1024);
  private added = 0;
  size = 0;
  /** Of the last `take`. */
  time = 0;
  kind = 0;
  subject = 0;

  add(time: number, kind: number, subject: number): void {
    if (this.size === this.times.length) this.grow();
    let at = this.size++;
    this.put(at, time, this.added++, kind, subject);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.before(at, parent)) return;
      this.swap(at, parent);
      at = parent;
    }
  }

  /** False: nothing is left. */
  take(): boolean {
    if (this.size === 0) return false;
    this.time = this.times[0]!;
    this.kind = this.kinds[0]!;
    this.subject = this.subjects[0]!;
    const last = --this.size;
    this.put(0, this.times[last]!, this.order[last]!, this.kinds[last]!, this.subjects[last]!);
    for (let at = 0; ;) {
      let first = 2 * at + 1;
      if (first >= this.size) return true;
      if (first + 1 < this.size && this.before(first + 1, first)) first++;
      if (!this.before(first, at)) return true;
      this.swap(at, first);
      at = first;
    }
  }

  private before(a: number, b: number): boolean {
    return this.times[a]! < this.times[b]! || (this.times[a] === this.times[b] && this.order[a]! < this.order[b]!);
  }

  private put(at: number, time: number, order: number, kind: number, subject: number): void {
    this.times[at] = time;
    this.order[at] = order;
    this.kinds[at] = kind;
    this.subjects[at] = subject;
  }

  private swap(a: number, b: number): void {
    const { times, order, kinds, subjects } = this;
    const [time, rank, kind, subject] = [times[a]!, order[a]!, kinds[a]!, subjects[a]!];
    this.put(a, times[b]!, order[b]!, kinds[b]!, subjects[b]!);
    this.put(b, time, rank, kind, subject);
  }

  private grow(): void {
    const room = 2 * this.times.length;
    this.times = widened(this.times, room);
    this.order = widened(this.order, room);
    this.kinds = widened(this.kinds, room);
    this.subjects = widened(this.subjects, room);
  }
}
