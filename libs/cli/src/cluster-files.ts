/** Files of `vfiolab cluster`: CSV, plain or packed by gzip. */
import { closeSync, createWriteStream, mkdirSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { gunzipSync } from 'node:zlib';
import { CLUSTER_LIMITS, placementsCsv, type PolicyResult, type Run } from '@vfiolab/cluster';
import { UsageError } from './command.js';

/** The text of an option's file. */
export function readText(option: string, file: string): string {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
    if (bytes[0] === 0x1f && bytes[1] === 0x8b)
      bytes = gunzipSync(bytes, { maxOutputLength: CLUSTER_LIMITS.textLength });
  } catch (error) {
    throw new UsageError(`--${option} ${file}: cannot be read (${(error as Error).message}).`);
  }
  return bytes.toString('utf8');
}

/** Makes a folder for results. */
export function makeFolder(dir: string): void {
  try {
    mkdirSync(dir, { recursive: true });
  } catch (error) {
    throw new UsageError(`--out ${dir}: cannot be made (${(error as Error).message}).`);
  }
}

/** `placements.csv` and `summary.json` of one policy. */
export async function writeResult(dir: string, run: Run, result: PolicyResult): Promise<void> {
  makeFolder(dir);
  const file = createWriteStream(join(dir, 'placements.csv'));
  for (const part of placementsCsv(run)) file.write(part);
  file.end();
  await finished(file);
  writeJson(join(dir, 'summary.json'), result);
}

/** Writes parts to an option's file. */
export function writeText(option: string, file: string, parts: Iterable<string>): void {
  let fd: number;
  try {
    fd = openSync(file, 'w');
  } catch (error) {
    throw new UsageError(`--${option} ${file}: cannot be written (${(error as Error).message}).`);
  }
  for (const part of parts) writeSync(fd, part);
  closeSync(fd);
}

export const writeJson = (file: string, value: unknown): void =>
  writeFileSync(file, `${JSON.stringify(value, null, 2)}\n`);
