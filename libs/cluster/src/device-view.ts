/**
 * One occupancy as choosers look at it.
 *
 * Rule: there is one view, and looking again changes what it shows.
 */
import type { Free, Pick } from './choosers.js';
import { type Occupancies, OUT, TAKEN_GROUP, UNITS } from './occupancies.js';
import type { Ask, Item, Near } from './request.js';
import { GPU, type Shape } from './shape.js';

/** `counts`: devices are numbers. `topology`: also groups, NUMA nodes, switches. */
export type Sight = 'counts' | 'topology';

const EVERYWHERE = [-1];

export class DeviceView implements Free {
  readonly left: Int32Array;
  shape: Shape;
  private readonly cells: Uint16Array;
  private readonly domainsOf = new Map<Shape, Partial<Record<Near, number[]>>>();

  constructor(private readonly occupancies: Occupancies) {
    this.left = new Int32Array(occupancies.stride);
    this.cells = new Uint16Array(occupancies.stride);
    this.shape = occupancies.shapes[0]!;
  }

  of(occupancy: number): void {
    const { cells, stride, shapes, shapeOf } = this.occupancies;
    this.shape = shapes[shapeOf[occupancy]!]!;
    for (let i = 0; i < stride; i++) this.cells[i] = cells[occupancy * stride + i]!;
  }

  /** The parts of the host that `near` tells apart; -1: all of it. Of a fabric, the partitions of the right size. */
  domains({ near, items }: Ask): readonly number[] {
    if (near === 'any') return EVERYWHERE;
    const { partitions } = this.shape;
    if (near === 'link' && partitions) {
      const gpus = items.find(({ kind }) => kind === GPU)?.count;
      return [...partitions.keys()].filter((i) => partitions[i]!.length === gpus);
    }
    let known = this.domainsOf.get(this.shape);
    if (!known) this.domainsOf.set(this.shape, (known = {}));
    return (known[near] ??= [...new Set(this.shape.slots.map((slot) => slot[near]))].filter((id) => id >= 0));
  }

  /** Shows what may be taken: of all, or of one domain. */
  free(sight: Sight, passthrough: boolean, near: Near = 'any', domain = -1): Free {
    const { slots } = this.shape;
    for (let i = 0; i < slots.length; i++) {
      const cell = this.cells[i]!;
      if (cell & OUT) this.left[i] = 0;
      else if (sight === 'counts') this.left[i] = cell & UNITS;
      else if (cell & TAKEN_GROUP || !this.isIn(i, near, domain)) this.left[i] = 0;
      else this.left[i] = passthrough && !this.groupIsWhole(i) ? 0 : cell;
    }
    return this;
  }

  private isIn(slot: number, near: Near, domain: number): boolean {
    const { slots, partitions } = this.shape;
    if (near === 'any') return true;
    if (near === 'link' && partitions) return slots[slot]!.kind !== GPU || partitions[domain]!.includes(slot);
    return slots[slot]![near] === domain;
  }

  eligible({ kind, units }: Item): number[] {
    const { slots } = this.shape;
    const found: number[] = [];
    for (let i = 0; i < slots.length; i++) {
      const slot = slots[i]!;
      if (slot.kind === kind && this.left[i]! > 0 && this.left[i]! >= (units || slot.units)) found.push(i);
    }
    return found;
  }

  /** The picks, and all else that is in their groups. */
  wholeGroups(picks: readonly Pick[]): Pick[] {
    const { slots } = this.shape;
    const groups = new Set(picks.map(({ slot }) => slots[slot]!.group));
    const picked = new Set(picks.map(({ slot }) => slot));
    const more = slots.flatMap(({ group, units }, slot) =>
      groups.has(group) && !picked.has(slot) && !(this.cells[slot]! & OUT) ? [{ slot, units }] : [],
    );
    return [...picks, ...more];
  }

  /** Nobody has anything of the other devices of its group. */
  private groupIsWhole(slot: number): boolean {
    const { slots } = this.shape;
    const { group } = slots[slot]!;
    for (let i = 0; i < slots.length; i++) {
      const other = slots[i]!;
      if (i === slot || other.group !== group || this.cells[i]! & OUT) continue;
      if (this.cells[i] !== other.units) return false;
    }
    return true;
  }
}
