/**
 * SIGKILL at random moments of a process that writes a journal.
 *
 * Rule: what was acknowledged is there; what is there was written.
 */
import { spawn } from 'node:child_process';
import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readBack } from './journal.mjs';

const WRITER = new URL('./journal.mjs', import.meta.url).pathname;
/** A journal is begun anew after so many kills. */
const KILLS_OF_ONE = 20;
const MOST_MS = 40;

const acknowledged = (acks) => Number(readFileSync(acks, 'utf8').trimEnd().split('\n').at(-1) || 0);

/** Resolves when the process has acknowledged something, or has ended. */
async function hasBegun(acks, before, child) {
  while (child.exitCode === null && child.signalCode === null && acknowledged(acks) === before)
    await new Promise((resolve) => setTimeout(resolve, 1));
}

export async function kills({ dir, count, mode, chance }) {
  let lost = 0;
  let checked = 0;
  const wrong = [];
  for (let i = 0; i < count; i++) {
    const at = join(dir, `${mode}-${Math.floor(i / KILLS_OF_ONE)}`);
    const [file, acks] = [`${at}.db`, `${at}.acks`];
    if (i % KILLS_OF_ONE === 0) writeFileSync(acks, '');
    const before = acknowledged(acks);
    const child = spawn(process.execPath, [WRITER, file, mode, '1000000', acks], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const ended = new Promise((resolve) => child.on('close', resolve));
    await hasBegun(acks, before, child);
    await new Promise((resolve) => setTimeout(resolve, chance() * MOST_MS));
    child.kill('SIGKILL');
    await ended;
    const least = acknowledged(acks);
    // On a copy, so that the next process meets the file as the kill left it.
    const copy = join(dir, 'copy.db');
    for (const end of ['', '-wal']) {
      if (existsSync(file + end)) copyFileSync(file + end, copy + end);
      else if (existsSync(copy + end)) writeFileSync(copy + end, '');
    }
    try {
      const last = await readBack(copy);
      lost += Math.max(0, least - last);
    } catch (e) {
      wrong.push(`kill ${i}: ${e.message}`);
    }
    checked += least - before;
  }
  return { kills: count, mode, acknowledged: checked, lost, wrong };
}
