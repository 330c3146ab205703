/**
 * A ring of descriptors in host memory.
 *
 * Words: descriptors from *head* on, up to and without *tail*, are the controller's; the others are the driver's. Both count
 * *units* of 16 bytes; a descriptor of 32 bytes is two.
 * Rule: a ring whose registers cannot be (no length, head or tail behind its end) has nothing for the controller.
 */
import { BASE_HIGH, BASE_LOW, HEAD, LENGTH, type Registers, TAIL } from './registers.js';

const UNIT = 16;

export class Ring {
  /** `at`: its registers; `units` of a descriptor. */
  constructor(
    private readonly registers: Registers,
    readonly at: number,
    private readonly units = 1,
  ) {}

  private get length(): number {
    return this.registers.get(this.at + LENGTH) / UNIT;
  }

  get entries(): number {
    return this.length / this.units;
  }

  private get head(): number {
    return this.registers.get(this.at + HEAD);
  }

  /** Descriptors that are the controller's. */
  get available(): number {
    const { head, length, units } = this;
    const tail = this.registers.get(this.at + TAIL);
    return head >= length || tail >= length ? 0 : Math.floor(((tail - head + length) % length) / units);
  }

  /** As many as lie side by side from head on, at most `most`. */
  batch(most: number): number {
    return Math.min(this.available, Math.floor((this.length - this.head) / this.units), most);
  }

  /** IOVA of the descriptor at head. */
  get address(): bigint {
    const { at, head, registers } = this;
    const base = (BigInt(registers.get(at + BASE_HIGH)) << 32n) | BigInt(registers.get(at + BASE_LOW));
    return BigInt.asUintN(64, base + BigInt(head * UNIT));
  }

  advance(): void {
    this.registers.set(this.at + HEAD, (this.head + this.units) % this.length);
  }
}
