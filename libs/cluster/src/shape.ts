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
  /** The real machine that its devices are of, by the name that it was given; left out: devices of nobody's machine. */
  readonly machine?: string;
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
  /**
   * Sets of GPUs (slots) into which an NVSwitch fabric can be divided: a guest whose GPUs are to reach each other has one
   * of them as a whole. Undefined: NVLink domains decide.
   */
  readonly partitions?: readonly (readonly number[])[] | undefined;
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

/** Devices of each kind in equal parts: groups and switches never reach over a NUMA node or another kind's group. */
export function evenSlots(
  devices: readonly { readonly kind: number; readonly count: number; readonly units: number }[],
  { numaNodes, perGroup, perSwitch }: { numaNodes: number; perGroup: number; perSwitch: number },
  kinds: Names,
): Slot[] {
  const groups = new Names();
  const switches = new Names();
  return devices.flatMap(({ kind, count, units }) =>
    Array.from({ length: count }, (_, i) => {
      const perNode = Math.ceil(count / numaNodes);
      const numa = Math.floor(i / perNode);
      const place = i % perNode;
      return {
        name: `${kinds.names[kind]}${i}`,
        kind,
        units,
        group: groups.id(`${kind} ${numa} ${Math.floor(place / perGroup)}`),
        numa,
        switch: switches.id(`${numa} ${Math.floor(place / perSwitch)}`),
        link: 0,
      };
    }),
  );
}

/** The partitions of an NVSwitch fabric: 1, 2, 4, ... neighbouring GPUs, and all of them. */
export function fabricPartitions(slots: readonly Slot[]): number[][] {
  const gpus = slots.flatMap(({ kind }, i) => (kind === GPU ? [i] : []));
  const partitions: number[][] = [];
  for (let size = 1; size < gpus.length; size *= 2)
    for (let at = 0; at + size <= gpus.length; at += size) partitions.push(gpus.slice(at, at + size));
  return [...partitions, gpus];
}
