/** Numbers that look random and are the same for the same seed on every machine (xoshiro128**, seeded by splitmix32). */
export class Random {
  private readonly state = new Uint32Array(4);

  constructor(seed: number) {
    let x = (seed ^ Math.floor(seed / 2 ** 32)) >>> 0;
    for (let i = 0; i < 4; i++) {
      x = (x + 0x9e3779b9) >>> 0;
      let z = x;
      z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
      z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
      this.state[i] = z ^ (z >>> 15);
    }
  }

  /** 32 random bits. */
  next(): number {
    const s = this.state;
    const rotated = Math.imul(s[1]!, 5);
    const result = Math.imul((rotated << 7) | (rotated >>> 25), 9) >>> 0;
    const shifted = s[1]! << 9;
    s[2]! ^= s[0]!;
    s[3]! ^= s[1]!;
    s[1]! ^= s[2]!;
    s[0]! ^= s[3]!;
    s[2]! ^= shifted;
    s[3] = (s[3]! << 11) | (s[3]! >>> 21);
    return result;
  }

  /** A whole number from 0 to `count` - 1, all equally likely. */
  below(count: number): number {
    const most = 2 ** 32 - (2 ** 32 % count);
    for (;;) {
      const bits = this.next();
      if (bits < most) return bits % count;
    }
  }

  /** From 0 to 1, without 1. */
  fraction(): number {
    return this.next() / 2 ** 32;
  }

  shuffle<T extends { [index: number]: unknown; readonly length: number }>(list: T): T {
    const items = list as unknown as { [index: number]: unknown; length: number };
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [items[i], items[j]] = [items[j], items[i]];
    }
    return list;
  }
}
