/**
 * Which arrival is on which host, and with what.
 *
 * Rule: an arrival is on one host or on none; everybody on a host can be listed without looking at others.
 */
import type { Fits } from './fits.js';
import type { Scheduler } from './scheduler.js';

const NOBODY = -1;

/** What an arrival has on its host. */
export interface Holding {
  readonly host: number;
  readonly fits: Fits;
  readonly row: number;
  readonly memory: Int32Array;
}

export class Residents {
  readonly hostOf: Int32Array;
  private readonly rowOf: Int32Array;
  private readonly fitsOf: (Fits | undefined)[];
  private readonly memory: Int32Array;
  private readonly columns: number;
  private readonly first: Int32Array;
  private readonly next: Int32Array;
  private readonly previous: Int32Array;

  constructor(arrivals: number, hosts: number, numaNodes: number) {
    this.columns = 2 * numaNodes;
    this.hostOf = new Int32Array(arrivals).fill(NOBODY);
    this.rowOf = new Int32Array(arrivals);
    this.fitsOf = new Array<Fits | undefined>(arrivals).fill(undefined);
    this.memory = new Int32Array(arrivals * this.columns);
    this.first = new Int32Array(hosts).fill(NOBODY);
    this.next = new Int32Array(arrivals).fill(NOBODY);
    this.previous = new Int32Array(arrivals).fill(NOBODY);
  }

  /** After the scheduler's `place` put it on a host. */
  settle(arrival: number, host: number, { fits, row, memoryTaken: memory }: Scheduler): void {
    this.put(arrival, { host, fits, row, memory });
  }

  put(arrival: number, { host, fits, row, memory }: Holding): void {
    this.hostOf[arrival] = host;
    this.rowOf[arrival] = row;
    this.fitsOf[arrival] = fits;
    this.memory.set(memory, arrival * this.columns);
    const first = this.first[host]!;
    this.next[arrival] = first;
    this.previous[arrival] = NOBODY;
    if (first !== NOBODY) this.previous[first] = arrival;
    this.first[host] = arrival;
  }

  /** Takes it off its host in the books; what it had is still its own. */
  remove(arrival: number): Holding {
    const holding = this.holding(arrival);
    const [next, previous] = [this.next[arrival]!, this.previous[arrival]!];
    if (previous === NOBODY) this.first[holding.host] = next;
    else this.next[previous] = next;
    if (next !== NOBODY) this.previous[next] = previous;
    this.hostOf[arrival] = NOBODY;
    this.fitsOf[arrival] = undefined;
    return holding;
  }

  holding(arrival: number): Holding {
    const at = arrival * this.columns;
    return {
      host: this.hostOf[arrival]!,
      fits: this.fitsOf[arrival]!,
      row: this.rowOf[arrival]!,
      memory: this.memory.slice(at, at + this.columns),
    };
  }

  /** Arrivals on a host, the latest first. */
  on(host: number): number[] {
    const found: number[] = [];
    for (let arrival = this.first[host]!; arrival !== NOBODY; arrival = this.next[arrival]!) found.push(arrival);
    return found;
  }

  /** Slots that an arrival has. */
  slotsOf(arrival: number): number[] {
    return this.fitsOf[arrival]!.slotsOf(this.rowOf[arrival]!);
  }
}
