/**
 * The best of many hosts for one class of request: a tournament in which each node has the best code of 16 below it.
 *
 * Words: a *code* is a reason (below FITS) why a host does not fit, or FITS and its score.
 * Rule: of equal codes the leftmost wins, so hosts stand in the order in which ties are decided.
 */
export const FITS = 16;
const WAYS = 16;
const SHIFT = 4;

export class ScoreTree {
  /** From the leaves to the root. */
  private readonly levels: Uint16Array[] = [];
  readonly leaves: Uint16Array;

  constructor(count: number) {
    let length = count;
    do {
      this.levels.push(new Uint16Array(Math.ceil(length / WAYS) * WAYS));
      length = Math.ceil(length / WAYS);
    } while (length > 1);
    this.leaves = this.levels[0]!;
  }

  /** After the leaves have been written. */
  rebuild(): void {
    for (let level = 1; level < this.levels.length; level++) {
      const [below, here] = [this.levels[level - 1]!, this.levels[level]!];
      here.fill(0);
      for (let i = 0; i < below.length; i++) if (below[i]! > here[i >> SHIFT]!) here[i >> SHIFT] = below[i]!;
    }
  }

  set(leaf: number, code: number): void {
    const { levels } = this;
    let below = levels[0]!;
    let at = leaf;
    let old = below[at]!;
    if (old === code) return;
    below[at] = code;
    let best = code;
    for (let level = 1; level < levels.length; level++) {
      const here = levels[level]!;
      const parent = at >> SHIFT;
      const was = here[parent]!;
      if (best < was) {
        if (old < was) return;
        const end = (parent + 1) << SHIFT;
        for (let i = parent << SHIFT; i < end; i++) if (below[i]! > best) best = below[i]!;
      }
      if (best === was) return;
      here[parent] = best;
      old = was;
      below = here;
      at = parent;
    }
  }

  /** Leaf with the highest code, the leftmost of equals; -1: none fits. */
  best(): number {
    let at = 0;
    for (let level = this.levels.length - 1; level >= 0; level--) {
      const here = this.levels[level]!;
      const start = level === this.levels.length - 1 ? 0 : at << SHIFT;
      const end = level === this.levels.length - 1 ? here.length : start + WAYS;
      let best = FITS - 1;
      at = -1;
      for (let i = start; i < end; i++)
        if (here[i]! > best) {
          best = here[i]!;
          at = i;
        }
      if (at < 0) return -1;
    }
    return at;
  }
}
