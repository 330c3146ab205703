/**
 * Random decisions of a simulation.
 *
 * Rule: a decision is a function of the seed and of what it is about (link, message, occurrence), never of how many
 * decisions came before it: taking one fault away leaves all the others where they were.
 */

/** 32-bit FNV-1a over text, then mixed with the seed (murmur's finaliser). */
function hash(seed: number, key: string): number {
  let h = 0x811c9dc5 ^ seed;
  for (let i = 0; i < key.length; i++) h = Math.imul(h ^ key.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

export class Dice {
  constructor(readonly seed: number) {}

  /** Between 0 and 1, the same for the same key. */
  unit(key: string): number {
    return hash(this.seed, key) / 4294967296;
  }

  chance(key: string, probability: number): boolean {
    return probability > 0 && this.unit(key) < probability;
  }

  /** A whole number from 0 to n-1. */
  below(key: string, n: number): number {
    return Math.floor(this.unit(key) * n);
  }

  /** Bytes that are the same for the same key: the simulation's stand-in for entropy. */
  bytes(key: string, length: number): Uint8Array {
    const out = new Uint8Array(length);
    for (let i = 0; i < length; i++) out[i] = hash(this.seed, `${key}#${i}`);
    return out;
  }
}
