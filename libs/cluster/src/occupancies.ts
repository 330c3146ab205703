/**
 * States of a host's devices, each stored once and known by a number: hosts of a cluster share most of them, and what is true of
 * one is worked out once.
 *
 * Words: a *cell* is one slot's state: units that are left, with TAKEN_GROUP when another device of its group has been passed
 * through, with OUT when the device itself is out of service.
 * Rule: an occupancy never changes; giving a device away leads to another one.
 */
import { InputError } from './input-error.js';
import { LIMITS } from './limits.js';
import { GPU, type Shape } from './shape.js';

export const UNITS = 0x3fff;
/** Its group has a user: nobody else gets it, though nobody uses it. */
export const TAKEN_GROUP = 0x8000;
/** Stuck, failed or quarantined. */
export const OUT = 0x4000;

const FIRST_ROOM = 1024;

export class Occupancies {
  /** Cells of one occupancy. */
  readonly stride: number;
  cells: Uint16Array;
  shapeOf: Uint16Array;
  /** Units that GPUs have left, whether a group's user keeps them from others or not. */
  gpuLeft: Int32Array;
  /** GPUs of which all is left. */
  gpusFree: Uint8Array;
  count = 0;
  private slots: Int32Array;
  private readonly scratch: Uint16Array;

  /** `most`: occupancies; one more is an InputError. */
  constructor(
    readonly shapes: readonly Shape[],
    private readonly most: number = LIMITS.occupancies,
  ) {
    this.stride = Math.max(1, ...shapes.map(({ slots }) => slots.length));
    this.cells = new Uint16Array(FIRST_ROOM * this.stride);
    this.shapeOf = new Uint16Array(FIRST_ROOM);
    this.gpuLeft = new Int32Array(FIRST_ROOM);
    this.gpusFree = new Uint8Array(FIRST_ROOM);
    this.slots = new Int32Array(4 * FIRST_ROOM).fill(-1);
    this.scratch = new Uint16Array(this.stride);
    for (const index of shapes.keys()) this.fresh(index);
  }

  /** All devices of a shape are there and free. */
  fresh(shape: number): number {
    this.scratch.fill(0);
    for (const [i, { units }] of this.shapes[shape]!.slots.entries()) this.scratch[i] = units;
    return this.intern(shape);
  }

  /** A copy of the cells that the next `intern` will look for. */
  edit(occupancy: number): Uint16Array {
    const from = occupancy * this.stride;
    for (let i = 0; i < this.stride; i++) this.scratch[i] = this.cells[from + i]!;
    return this.scratch;
  }

  /** The occupancy with the cells of the last `edit`. */
  intern(shape: number): number {
    const mask = this.slots.length - 1;
    for (let at = this.hash(shape) & mask; ; at = (at + 1) & mask) {
      const found = this.slots[at]!;
      if (found < 0) return this.add(shape, at);
      if (this.shapeOf[found] === shape && this.isScratch(found)) return found;
    }
  }

  private hash(shape: number): number {
    let h = shape + 1;
    for (let i = 0; i < this.stride; i++) h = Math.imul(h ^ this.scratch[i]!, 0x9e3779b1);
    return h ^ (h >>> 15);
  }

  private isScratch(occupancy: number): boolean {
    const from = occupancy * this.stride;
    for (let i = 0; i < this.stride; i++) if (this.cells[from + i] !== this.scratch[i]) return false;
    return true;
  }

  private add(shape: number, at: number): number {
    if (this.count === this.most)
      throw new InputError(`more than ${this.most} different states of hosts; split the run`, {
        file: 'hosts and pods',
      });
    const id = this.count++;
    if (id === this.shapeOf.length) this.grow();
    this.cells.set(this.scratch, id * this.stride);
    this.shapeOf[id] = shape;
    for (const [i, { kind, units }] of this.shapes[shape]!.slots.entries()) {
      const cell = this.scratch[i]!;
      if (kind !== GPU || cell & OUT) continue;
      this.gpuLeft[id]! += cell & UNITS;
      if ((cell & UNITS) === units) this.gpusFree[id]!++;
    }
    this.slots[at] = id;
    if (this.count * 2 > this.slots.length) this.rehash();
    return id;
  }

  private grow(): void {
    const room = 2 * this.shapeOf.length;
    this.cells = widened(this.cells, room * this.stride);
    this.shapeOf = widened(this.shapeOf, room);
    this.gpuLeft = widened(this.gpuLeft, room);
    this.gpusFree = widened(this.gpusFree, room);
  }

  private rehash(): void {
    this.slots = new Int32Array(2 * this.slots.length).fill(-1);
    const mask = this.slots.length - 1;
    for (let id = 0; id < this.count; id++) {
      this.edit(id);
      let at = this.hash(this.shapeOf[id]!) & mask;
      while (this.slots[at]! >= 0) at = (at + 1) & mask;
      this.slots[at] = id;
    }
  }
}

/** The same numbers in a longer array. */
export function widened<T extends Int32Array | Uint16Array | Uint8Array | Float64Array>(from: T, length: number): T {
  const to = new (from.constructor as new (length: number) => T)(length);
  to.set(from);
  return to;
}
