/**
 * What a host is made of.
 *
 * Words: a *shape* is what hosts of one model have in common. A *slot* is a device of a shape; its *units* are what can be
 * given away singly: thousandths of a GPU that is shared, VFs of a PF, or one device as a whole (then all its units).
 * Rule: a shape never changes; what changes on a host is in `Fleet`.
 */

export interface Slot {
  /** Address, or whatever people know it by. */
  readonly name: string;
  /** Index in `Kinds`. */
  readonly kind: number;
  readonly units: number;
  /** Slots with the same number can only be passed through together. */
  readonly group: number;
  readonly numa: number;
  /** PCIe switch, or root port where there is none. */
  readonly switch: number;
  /** NVLink domain: slots with the same number reach each other over it. -1: none. */
  readonly link: number;
}

export interface Shape {
  readonly name: string;
  /** Model of its GPUs; empty: it has none. */
  readonly model: string;
  readonly cpuMilli: number;
  /** MiB by NUMA node. */
  readonly memory: readonly number[];
  /** MiB in huge pages by NUMA node, not counted in `memory`. */
  readonly hugepages: readonly number[];
  /** MiB that one process may lock (RLIMIT_MEMLOCK). */
  readonly memlock: number;
  readonly slots: readonly Slot[];
}

/** Names with numbers, in the order in which they came. */
export class Names {
  private readonly ids = new Map<string, number>();
  readonly names: string[] = [];

  constructor(first: readonly string[] = []) {
    for (const name of first) this.id(name);
  }

  id(name: string): number {
    const known = this.ids.get(name);
    if (known !== undefined) return known;
    this.ids.set(name, this.names.length);
    return this.names.push(name) - 1;
  }

  find(name: string): number | undefined {
    return this.ids.get(name);
  }

  get size(): number {
    return this.names.length;
  }
}

/** The kind that the policies of the literature know. */
export const GPU = 0;
/** Units of a GPU: thousandths. */
export const MILLI = 1000;

export const newKinds = (): Names => new Names(['gpu']);

/** `count` GPUs, each alone in its group, all behind one root of one NUMA node: what a node list says. */
export const plainShape = (
  name: string,
  facts: { model: string; cpuMilli: number; memoryMib: number; gpus: number },
): Shape => ({
  name,
  model: facts.model,
  cpuMilli: facts.cpuMilli,
  memory: [facts.memoryMib],
  hugepages: [0],
  memlock: Number.MAX_SAFE_INTEGER,
  slots: Array.from({ length: facts.gpus }, (_, i) => ({
    name: `gpu${i}`,
    kind: GPU,
    units: MILLI,
    group: i,
    numa: 0,
    switch: 0,
    link: 0,
  })),
});
