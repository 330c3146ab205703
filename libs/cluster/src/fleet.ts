/**
 * The hosts of a cluster as they stand now: columns of numbers, a row a host, in the order in which ties are decided.
 *
 * Rule: nothing here decides; `take` and `give` only change what is left.
 */
import type { HostList } from './import-nodes.js';
import { Occupancies } from './occupancies.js';
import type { Shape } from './shape.js';

export const UP = 0;
/** Takes nobody new; who is there may stay. */
export const DRAINED = 1;
export const DOWN = 2;

export class Fleet {
  readonly shapes: readonly Shape[];
  readonly count: number;
  readonly shapeOf: Uint16Array;
  readonly state: Uint8Array;
  readonly cpuLeft: Int32Array;
  /** MiB over all NUMA nodes. */
  readonly memoryLeft: Int32Array;
  /** Rows of `numaNodes`: MiB of each node, in ordinary and in huge pages. */
  readonly numaLeft: Int32Array;
  readonly hugeLeft: Int32Array;
  readonly numaNodes: number;
  readonly occupancy: Int32Array;
  readonly occupancies: Occupancies;

  /** `order`: hosts of the list, the one that wins a tie first. */
  constructor(
    readonly list: HostList,
    readonly order: Int32Array,
  ) {
    this.shapes = list.shapes;
    this.count = order.length;
    this.numaNodes = Math.max(1, ...list.shapes.map(({ memory }) => memory.length));
    this.shapeOf = Uint16Array.from(order, (host) => list.shapeOf[host]!);
    this.state = new Uint8Array(this.count);
    this.cpuLeft = new Int32Array(this.count);
    this.memoryLeft = new Int32Array(this.count);
    this.numaLeft = new Int32Array(this.count * this.numaNodes);
    this.hugeLeft = new Int32Array(this.count * this.numaNodes);
    this.occupancy = new Int32Array(this.count);
    this.occupancies = new Occupancies(list.shapes);
    for (let host = 0; host < this.count; host++) this.reset(host);
  }

  nameOf(host: number): string {
    return this.list.names[this.order[host]!]!;
  }

  shape(host: number): Shape {
    return this.shapes[this.shapeOf[host]!]!;
  }

  /** Are two hosts of one shape in the same state, NUMA nodes aside? */
  isLike(host: number, other: number): boolean {
    return (
      this.occupancy[host] === this.occupancy[other] &&
      this.cpuLeft[host] === this.cpuLeft[other] &&
      this.memoryLeft[host] === this.memoryLeft[other] &&
      this.state[host] === this.state[other]
    );
  }

  /** Nothing on it is used. */
  reset(host: number): void {
    const { cpuMilli, memory, hugepages } = this.shape(host);
    this.state[host] = UP;
    this.cpuLeft[host] = cpuMilli;
    this.memoryLeft[host] = memory.reduce((sum, each) => sum + each, 0);
    for (let node = 0; node < this.numaNodes; node++) {
      this.numaLeft[host * this.numaNodes + node] = memory[node] ?? 0;
      this.hugeLeft[host * this.numaNodes + node] = hugepages[node] ?? 0;
    }
    this.occupancy[host] = this.occupancies.fresh(this.shapeOf[host]!);
  }

  /**
   * Takes `amount` MiB of a kind of memory: of one NUMA node, or (-1) of the fullest-to-take first. What each node gave is added
   * to `given`, a row of `numaNodes` from `at` on.
   */
  takeMemory(left: Int32Array, host: number, node: number, amount: number, given: Int32Array, at: number): void {
    const row = host * this.numaNodes;
    let rest = amount;
    while (rest > 0) {
      let from = node;
      if (from < 0) for (let i = (from = 0); i < this.numaNodes; i++) if (left[row + i]! > left[row + from]!) from = i;
      const part = Math.min(rest, left[row + from]!);
      if (part <= 0) return;
      left[row + from]! -= part;
      given[at + from]! += part;
      rest -= part;
    }
  }
}
