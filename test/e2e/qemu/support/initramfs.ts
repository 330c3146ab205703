/** An initial RAM disk for the guest: a cpio archive (newc) of some files of this machine. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';

export interface Item {
  /** In the guest, without the leading slash. */
  readonly path: string;
  /** Undefined: a folder. */
  readonly bytes?: Uint8Array;
}

const [FILE, FOLDER] = [0o100755, 0o040755];
const padded = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);

function entry(path: string, mode: number, bytes: Uint8Array, inode: number): Buffer {
  const numbers = [inode, mode, 0, 0, 1, 0, bytes.length, 0, 0, 0, 0, path.length + 1, 0];
  const head = `070701${numbers.map((n) => n.toString(16).padStart(8, '0')).join('')}${path}\0`;
  return Buffer.concat([padded(Buffer.from(head, 'latin1')), padded(Buffer.from(bytes))]);
}

/** Folders on the way to an item are made. */
export function cpio(items: readonly Item[]): Buffer {
  const folders = new Set<string>();
  for (const { path } of items) for (let at = dirname(path); at !== '.'; at = dirname(at)) folders.add(at);
  const all = [
    ...[...folders].sort().map((path) => ({ path, mode: FOLDER, bytes: new Uint8Array(0) })),
    ...items.map(({ path, bytes }) => ({ path, mode: bytes ? FILE : FOLDER, bytes: bytes ?? new Uint8Array(0) })),
  ];
  const parts = all.map(({ path, mode, bytes }, i) => entry(path, mode, bytes, i + 1));
  return Buffer.concat([...parts, entry('TRAILER!!!', 0, new Uint8Array(0), 0)]);
}

/** A program of this machine with the libraries that it is linked with, under their own paths. */
export function withLibraries(program: string): Item[] {
  const linked = execFileSync('ldd', [program], { encoding: 'utf8' });
  const libraries = [...linked.matchAll(/(\/\S+) \(0x/g)].map((match) => match[1]!);
  return [program, ...new Set(libraries)].map((path) => ({ path: path.slice(1), bytes: readFileSync(path) }));
}
