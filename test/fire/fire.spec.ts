/**
 * A small share of what `npm run test:fire` does with journals: enough to see that it works, and that it can fail.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { damage } from './damage.mjs';
import { kills } from './kills.mjs';
import { power } from './power.mjs';

const MINUTES = 60_000;
let dir: string;
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'vfiolab-fire-'))));
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** The same numbers in every run. */
function chance(): () => number {
  let n = 7;
  return () => (n = (n * 16807) % 2147483647) / 2147483647;
}

it.each(['process', 'power'])(
  'SIGKILL loses nothing that was acknowledged in mode %s',
  async (mode) => {
    const done = await kills({ dir, count: 3, mode, chance: chance() });
    expect(done).toMatchObject({ lost: 0, wrong: [] });
    expect(done.acknowledged).toBeGreaterThan(2);
  },
  2 * MINUTES,
);

it(
  'loss of power loses nothing that was acknowledged in mode power, whatever of the unsynced is there',
  async () => {
    const done = await power({ dir, records: 80, every: 11, chance: chance() });
    expect(done).toMatchObject({ acknowledged: 80, lost: 0, wrong: [] });
    expect(done.points).toBeGreaterThan(20);
  },
  2 * MINUTES,
);

it(
  'loss of power may lose the end in mode process, and never makes anything up',
  async () => {
    const done = await power({ dir, records: 40, every: 11, chance: chance(), mode: 'process' });
    expect(done.lost).toBeGreaterThan(0);
    expect(done.wrong).toEqual([]);
  },
  2 * MINUTES,
);

it(
  'damage is refused, or noticed by who has witnessed more, or changes nothing',
  async () => {
    const { missed, refused, byWitness, unchanged } = await damage({ dir, count: 90, chance: chance() });
    expect(missed).toEqual([]);
    for (const some of [refused, byWitness, unchanged]) expect(some).toBeGreaterThan(5);
  },
  2 * MINUTES,
);
