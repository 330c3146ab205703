/**
 * Which faults happen in a run, and which did.
 *
 * Words: a fault has a *name*, which says what happens to what: `lose groups>pages request 4`. Its *key* is a hash of what it
 * happens to. A run may be told to let *only* some of its faults happen.
 * Rule: whether a fault happens is a function of the seed and its key, and of nothing that happened before.
 */
import type { Dice } from '../dice.js';

/** Names that are kept; a run with more is too long for anybody to look at. */
const MAX_KEPT = 5000;

export class Faults {
  /** Names of what happened, in order. */
  readonly happened: string[] = [];
  /** Trouble is over: nothing happens from now on. */
  over = false;

  constructor(
    readonly dice: Dice,
    private readonly only?: ReadonlySet<string>,
  ) {}

  /** Does it happen? `salt` says what is decided about the key. */
  chance(probability: number, salt: number, key: number, name: () => string): boolean {
    if (this.over || probability === 0 || this.dice.unitOf(salt, key) >= probability) return false;
    return this.happens(name());
  }

  /** It was drawn: does it happen in this run? */
  happens(name: string): boolean {
    if (this.over || (this.only && !this.only.has(name))) return false;
    if (this.happened.length < MAX_KEPT) this.happened.push(name);
    return true;
  }
}
