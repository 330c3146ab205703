/**
 * Random decisions of a simulation.
 *
 * Rule: a decision is a function of the seed and of what it is about (link, message, occurrence), never of how many
 * decisions came before it: taking one fault away leaves all the others where they were.
 */

/** Murmur's finaliser: every bit of the input reaches every bit of the answer. */
export function finish(h: number): number {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** One more number into a hash; `finish` it before its bits are used. */
export function mix(h: number, value: number): number {
  h = Math.imul(h ^ Math.imul(value, 0xcc9e2d51), 0x1b873593);
  return ((h << 13) | (h >>> 19)) + 0x6546b64;
}

/** 32-bit FNV-1a over text. */
export function hashText(text: string, h = 0x811c9dc5): number {
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h;
}

const RANGE = 4294967296;

export class Dice {
  constructor(readonly seed: number) {}

  /** Between 0 and 1, the same for the same key. */
  unit(key: string): number {
    return finish(hashText(key, 0x811c9dc5 ^ this.seed)) / RANGE;
  }

  /** The same for a key that is a hash: `salt` says what is decided. */
  unitOf(salt: number, key: number): number {
    return finish(mix(mix(this.seed, salt), key)) / RANGE;
  }

  chance(key: string, probability: number): boolean {
    return probability > 0 && this.unit(key) < probability;
  }

  /** A whole number from 0 to n-1. */
  below(key: string, n: number): number {
    return Math.floor(this.unit(key) * n);
  }

  /** Bytes that are the same for the same key: the simulation's stand-in for entropy. */
  bytesOf(salt: number, key: number, length: number): Uint8Array {
    const out = new Uint8Array(length);
    const base = mix(mix(this.seed, salt), key);
    for (let i = 0; i < length; i += 4) {
      const word = finish(mix(base, i));
      for (let k = 0; k < 4 && i + k < length; k++) out[i + k] = word >>> (8 * k);
    }
    return out;
  }
}
