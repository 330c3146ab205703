/** Files of `vfiolab cluster`: CSV, plain or packed by gzip. */
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { CLUSTER_LIMITS, type Decision, devicesCsv, placementsCsv, type Sample, timelineCsv } from '@vfiolab/cluster';
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

/** `placements.csv`, `devices.csv`, `summary.json` and, of a run in time, `timeline.csv` of one policy. */
export function writeResult(
  dir: string,
  made: { decisions(): Iterable<Decision> },
  result: object,
  samples?: readonly Sample[],
): void {
  makeFolder(dir);
  writeText('out', join(dir, 'placements.csv'), placementsCsv(made.decisions()));
  writeText('out', join(dir, 'devices.csv'), devicesCsv(made.decisions()));
  if (samples) writeFileSync(join(dir, 'timeline.csv'), timelineCsv(samples));
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
