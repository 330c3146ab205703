/**
 * Bits that flip and files that are cut, in journals that were closed and in journals as a kill leaves them.
 *
 * Words: a journal that is whole but shorter than somebody has witnessed is detected by the witness: the service learns from
 * the lab how far its journal was, and stops.
 * Rule: damage that changes what the journal says is always detected.
 */
import { copyFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { append, readBack } from './journal.mjs';

const WRITER = new URL('./journal.mjs', import.meta.url).pathname;
const RECORDS = 100;

async function journals(dir) {
  const [closed, killed] = [join(dir, 'closed.db'), join(dir, 'killed.db')];
  (await append(closed, 'process', RECORDS)).close();
  spawnSync(process.execPath, [WRITER, killed, 'process', String(RECORDS)]);
  return [closed, killed].flatMap((file) =>
    [file, `${file}-wal`].filter(existsSync).map((damaged) => ({ file, damaged })),
  );
}

export async function damage({ dir, count, chance }) {
  const targets = await journals(dir);
  const copy = join(dir, 'copy.db');
  const tally = { damages: count, refused: 0, byWitness: 0, unchanged: 0, missed: [] };
  for (let i = 0; i < count; i++) {
    const { file, damaged } = targets[i % targets.length];
    for (const end of ['', '-wal']) {
      rmSync(copy + end, { force: true });
      if (existsSync(file + end)) copyFileSync(file + end, copy + end);
    }
    const target = copy + damaged.slice(file.length);
    const bytes = readFileSync(target);
    const at = Math.floor(chance() * bytes.length);
    if (chance() < 0.2) writeFileSync(target, bytes.subarray(0, at));
    else {
      bytes[at] ^= 1 << Math.floor(chance() * 8);
      writeFileSync(target, bytes);
    }
    try {
      const last = await readBack(copy);
      if (last === RECORDS) tally.unchanged++;
      else tally.byWitness++;
    } catch (e) {
      if (e.wrong) tally.missed.push(`damage ${i} of ${damaged} at ${at}: ${e.message}`);
      else tally.refused++;
    }
  }
  return tally;
}
