/**
 * The least that still fails: faults are left out as long as the run goes on failing (delta debugging).
 *
 * Rule: what comes out fails, as the whole did; the number of runs is bounded, so it may not be the very least.
 */
export interface Minimised {
  readonly faults: readonly string[];
  readonly runs: number;
  /** No single one of them can be left out. */
  readonly minimal: boolean;
}

/** `fails`: does a run with only these faults fail in the same way? The whole list must. */
export async function minimise(
  whole: readonly string[],
  fails: (only: ReadonlySet<string>) => Promise<boolean>,
  mostRuns: number,
): Promise<Minimised> {
  let runs = 0;
  const stillFails = async (faults: readonly string[]): Promise<boolean> => {
    runs++;
    return fails(new Set(faults));
  };
  let faults = whole;
  if (faults.length > 0 && (await stillFails([]))) return { faults: [], runs, minimal: true };
  for (let pieces = 2; faults.length > 1;) {
    const smaller = await withoutOne(faults, pieces, () => runs < mostRuns, stillFails);
    if (smaller) {
      faults = smaller;
      pieces = Math.max(2, pieces - 1);
    } else if (runs >= mostRuns) return { faults, runs, minimal: false };
    else if (pieces >= faults.length) break;
    else pieces = Math.min(faults.length, 2 * pieces);
  }
  return { faults, runs, minimal: true };
}

/** The list without one of so many pieces of it, when that still fails. */
async function withoutOne(
  faults: readonly string[],
  pieces: number,
  goOn: () => boolean,
  stillFails: (faults: readonly string[]) => Promise<boolean>,
): Promise<readonly string[] | undefined> {
  const size = faults.length / pieces;
  for (let i = 0; i < pieces && goOn(); i++) {
    const [from, to] = [Math.floor(i * size), Math.floor((i + 1) * size)];
    const rest = faults.filter((_, n) => n < from || n >= to);
    if (rest.length < faults.length && (await stillFails(rest))) return rest;
  }
  return undefined;
}
