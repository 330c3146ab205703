/**
 * A ring of descriptors in host memory.
 *
 * Words: descriptors from *head* on, up to and without *tail*, are the controller's; the others are the driver's.
 * Rule: a ring whose registers cannot be (no length, head or tail behind its end) has nothing for the controller.
 */
import { BASE_HIGH, BASE_LOW, HEAD, LENGTH, type Registers, TAIL } from './registers.js';

export class Ring {
  /** `at`: its registers; `size`: bytes of a descriptor. */
  constructor(
    private readonly registers: Registers,
    readonly at: number,
    private readonly size = 16,
  ) {}

  get entries(): number {
    return Math.floor(this.registers.get(this.at + LENGTH) / this.size);
  }

  get head(): number {
    return this.registers.get(this.at + HEAD);
  }

  /** Descriptors that are the controller's. */
  get available(): number {
    const { entries, head } = this;
    const tail = this.registers.get(this.at + TAIL);
    return head >= entries || tail >= entries ? 0 : (tail - head + entries) % entries;
  }

  /** As many as lie side by side from head on, at most `most`. */
  batch(most: number): number {
    return Math.min(this.available, this.entries - this.head, most);
  }

  /** IOVA of the descriptor `ahead` behind head. */
  address(ahead = 0): bigint {
    const { at, entries, head, registers } = this;
    const base = (BigInt(registers.get(at + BASE_HIGH)) << 32n) | BigInt(registers.get(at + BASE_LOW));
    return BigInt.asUintN(64, base + BigInt(((head + ahead) % entries) * this.size));
  }

  advance(count: number): void {
    this.registers.set(this.at + HEAD, (this.head + count) % this.entries);
  }
}
