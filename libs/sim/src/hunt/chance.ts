/** Choices of a hunt. Rule: the same seed gives the same choices in the same order, on every machine. */

const U64 = (1n << 64n) - 1n;

/** One call's numbers in a sequence (mulberry32); unlike `Dice` it has no keys, and is fast. */
export class Chance {
  constructor(private state: number) {}

  /** 32 random bits. */
  bits(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t ^= t + Math.imul(t ^ (t >>> 7), 61 | t);
    return (t ^ (t >>> 14)) >>> 0;
  }

  below(n: number): number {
    return this.bits() % n;
  }

  /** True once in `n` times. */
  once(n: number): boolean {
    return this.below(n) === 0;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }

  u64(): bigint {
    return ((BigInt(this.bits()) << 32n) | BigInt(this.bits())) & U64;
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.below(256));
  }
}
