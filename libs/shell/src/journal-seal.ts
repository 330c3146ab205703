/**
 * Seals of closed journal files.
 *
 * Rule: a seal covers every byte of the file, also those that SQLite does not use; the journal itself checks only what
 * it reads.
 */
import { createHash } from 'node:crypto';
import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import { basename } from 'node:path';
import { JournalDamaged } from './journal-check.js';

export interface JournalSeal {
  /** Name of the file, without its folder: a run can be moved. */
  readonly file: string;
  readonly bytes: number;
  /** 64 hex digits. */
  readonly sha256: string;
}

const CHUNK = 1 << 20;

/** Measures a closed journal; one that is still open, or was not closed, is refused. */
export function sealJournal(file: string): JournalSeal {
  if (existsSync(`${file}-wal`))
    throw new Error(
      `${file}: the journal was not closed (${basename(file)}-wal is there). Start and stop its service, then seal it.`,
    );
  const hash = createHash('sha256');
  const chunk = Buffer.allocUnsafe(CHUNK);
  const fd = openSync(file, 'r');
  let bytes = 0;
  try {
    for (let n = readSync(fd, chunk); n > 0; n = readSync(fd, chunk)) {
      hash.update(chunk.subarray(0, n));
      bytes += n;
    }
  } finally {
    closeSync(fd);
  }
  return { file: basename(file), bytes, sha256: hash.digest('hex') };
}

/** Throws `JournalDamaged` when the file is not the one that was sealed. */
export function checkSeal(file: string, seal: JournalSeal): void {
  const now = sealJournal(file);
  if (now.bytes !== seal.bytes)
    throw new JournalDamaged(file, -1, `it has ${now.bytes} bytes, sealed were ${seal.bytes}`);
  if (now.sha256 !== seal.sha256)
    throw new JournalDamaged(file, -1, `its SHA-256 is ${now.sha256}, sealed was ${seal.sha256}`);
}
