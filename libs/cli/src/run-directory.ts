/**
 * Where runs lie.
 *
 * Rule: a run never mixes with what is there already: its folder is new, or empty.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { UsageError } from './command.js';
import type { Engine } from './engine.js';

/** `runs/demo-20260131T120000Z`; with a number behind it when there is one of that second already. */
function defaultDirectory(title: string, now: Date): string {
  const name = title.replace(/[^A-Za-z0-9_-]+/g, '-').slice(0, 60);
  const time = now.toISOString().replace(/[-:]/g, '').replace(/\.\d+/, '');
  const base = join('runs', `${name}-${time}`);
  for (let n = 1; ; n++) {
    const dir = n === 1 ? base : `${base}-${n}`;
    if (!existsSync(dir)) return dir;
  }
}

/** The folder for an export of /sys. Throws UsageError when it is used by something else; `option`: who names it. */
export async function sysfsDirectory(engine: Engine, option: string, out: string): Promise<string> {
  const wrong = await engine.sysfsTarget(out);
  if (wrong !== undefined)
    throw new UsageError(`${option}: ${wrong}. Name a folder that does not exist yet, or an empty one.`);
  return out;
}

/** The folder for a run; whoever starts the run makes it. Throws UsageError when `out` cannot be used. */
export function runDirectory(out: string | undefined, title: string, now: Date): string {
  if (out === undefined) return defaultDirectory(title, now);
  if (!existsSync(out)) return out;
  if (!statSync(out).isDirectory())
    throw new UsageError(`--out: ${out} is a file. Name a folder that does not exist yet.`);
  if (readdirSync(out).length > 0)
    throw new UsageError(`--out: ${out} is not empty. Name a folder that does not exist yet, or an empty one.`);
  return out;
}
