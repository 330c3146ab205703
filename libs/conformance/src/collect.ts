/**
 * Finding traces: files and folders, and what of them is asked for.
 *
 * Rule: the order is that of paths, and of traces within a file, so that runs are alike.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { InputError } from './input-error.js';
import { readTraces } from './read-trace.js';
import type { Trace } from './trace.js';

const ENDINGS = ['.jsonl', '.jsonl.gz'];
const isTraceFile = (name: string): boolean => ENDINGS.some((ending) => name.endsWith(ending));
/** A file of traces, unpacked, has at most this many bytes. */
export const MAX_FILE = 512 * 1024 * 1024;

/** Trace files among the paths and below the folders among them. Throws InputError when a path is not there. */
export function traceFiles(paths: readonly string[]): string[] {
  return paths.flatMap((path) => {
    if (!statSync(path, { throwIfNoEntry: false })) throw new InputError(`${path}: no such file or folder`);
    return statSync(path).isDirectory() ? filesBelow(path) : [path];
  });
}

const filesBelow = (folder: string): string[] =>
  readdirSync(folder, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return filesBelow(path);
      return isTraceFile(entry.name) ? [path] : [];
    });

export function readTraceFile(path: string): Trace[] {
  const raw = readFileSync(path);
  return readTraces((path.endsWith('.gz') ? unpack(raw, path) : raw).toString('utf8'), path);
}

function unpack(raw: Buffer, path: string): Buffer {
  try {
    return gunzipSync(raw, { maxOutputLength: MAX_FILE });
  } catch (error) {
    throw new InputError(`${path}: cannot be unpacked: ${(error as Error).message}`);
  }
}

/** Does the trace's name, machine, title or a tag hold the text? */
export const wanted = ({ name, machine, title, tags }: Trace, grep: string | undefined): boolean =>
  grep === undefined || [name, machine, title, ...tags].some((each) => each.includes(grep));
