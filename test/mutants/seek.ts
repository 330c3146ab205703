/**
 * Looks for a mistake in the lab by one hunt until it is found, and says in one line of JSON what was found and where.
 *
 * Usage: `node --import ./test/mutants/hooks.mjs test/mutants/seek.ts HUNT FIRST LAST STEP`: seeds, or numbers of crash points.
 */
import { fileURLToPath } from 'node:url';
import { readScenarioFile } from '@vfiolab/scenario';
import { CALM, Sweep, differences, drawOptions, hunt, type Hunt, simulate } from '@vfiolab/sim';

const SCENARIO = fileURLToPath(new URL('../../libs/cli/scenarios/containers.yaml', import.meta.url));
/** Snapshots are written too. */
const SNAPSHOT_EVERY = 8;

const [what = '', first = '1', last = '1', step = '1'] = process.argv.slice(2);

/** What is wrong under one seed, or at one crash point; undefined: there is no such point. */
type Look = (n: number) => Promise<readonly string[] | undefined>;

async function looker(): Promise<Look> {
  const scenario = readScenarioFile(SCENARIO);
  if (what === 'crash-points') {
    const sweep = await Sweep.of(scenario, SNAPSHOT_EVERY);
    return async (n) => {
      const point = sweep.points[n];
      return point && (await sweep.trouble(point)).findings;
    };
  }
  if (what !== 'faults') return async (seed) => (await hunt(what as Hunt, seed)).findings;
  const calm = await simulate(scenario, { seed: 0, options: CALM });
  return async (seed) => differences(calm, await simulate(scenario, { seed, options: drawOptions(seed) }));
}

async function attempt(look: Look, n: number): Promise<readonly string[] | undefined> {
  try {
    return await look(n);
  } catch (e) {
    return [(e as Error).message];
  }
}

async function seek(): Promise<{ tried: number; at?: number; found?: string }> {
  let tried = 0;
  let look: Look;
  try {
    look = await looker();
  } catch (e) {
    return { tried: 1, at: 0, found: `without any fault: ${(e as Error).message}` };
  }
  for (let n = Number(first); n <= Number(last); n += Number(step)) {
    const found = await attempt(look, n);
    if (!found) break;
    tried++;
    if (found.length > 0) return { tried, at: n, found: found[0]! };
  }
  return { tried };
}

process.stdout.write(`${JSON.stringify(await seek())}\n`);
