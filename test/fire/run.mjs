/**
 * Journals under fire: kills, losses of power, damage. Ends with 1 when anything acknowledged was lost, or damage missed.
 *
 * Usage: node test/fire/run.mjs [--kills N] [--power POINTS] [--damage N] [--seed N]
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { damage } from './damage.mjs';
import { kills } from './kills.mjs';
import { power } from './power.mjs';

const number = (about) => ({ type: 'string', default: about });
const { values } = parseArgs({
  options: { kills: number('1000'), power: number('10000'), damage: number('10000'), seed: number('1') },
});
const asked = Object.fromEntries(Object.entries(values).map(([name, text]) => [name, Number(text)]));
if (Object.values(asked).some((n) => !Number.isSafeInteger(n) || n < 0)) {
  console.error('Usage: run.mjs [--kills N] [--power POINTS] [--damage N] [--seed N], whole numbers from 0');
  process.exit(2);
}

/** mulberry32: the same numbers for the same seed. */
function dice(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const memory = '/dev/shm';
const dir = mkdtempSync(join(existsSync(memory) ? memory : tmpdir(), 'vfiolab-fire-'));
const chance = dice(asked.seed);
let bad = 0;
const tell = (what, result, failures) => {
  const seconds = ((Date.now() - began) / 1000).toFixed(0);
  console.log(`${what}: ${JSON.stringify(result)} in ${seconds} s`);
  bad += failures;
};
let began = Date.now();
try {
  for (const mode of asked.kills > 0 ? ['process', 'power'] : []) {
    began = Date.now();
    const result = await kills({ dir, count: asked.kills, mode, chance });
    tell('kills', result, result.lost + result.wrong.length);
  }
  began = Date.now();
  for (let points = 0, round = 0; points < asked.power; round++) {
    const at = join(dir, `power-${round}`);
    const records = Math.min(1200, 20 + asked.power);
    const result = await power({ dir: at, records, chance });
    rmSync(at, { recursive: true });
    points += result.points;
    tell('power', result, result.lost + result.wrong.length);
  }
  if (asked.damage > 0) {
    began = Date.now();
    const result = await damage({ dir, count: asked.damage, chance });
    tell('damage', result, result.missed.length);
  }
} finally {
  rmSync(dir, { recursive: true, force: true });
}
console.log(bad === 0 ? 'Nothing acknowledged was lost, no damage was missed.' : `${bad} findings.`);
process.exit(bad === 0 ? 0 : 1);
