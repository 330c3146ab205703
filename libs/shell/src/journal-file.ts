/**
 * Journal files as SQLite sees them: opening, reading rows, and what goes wrong.
 *
 * Rule: a file that is not new is never altered before it was checked; tables are made in new files only.
 */
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { JournalFull, type LoadedRecord, type Snapshot } from '@vfiolab/core';
import Database from 'better-sqlite3';
import { DataSource } from 'typeorm';
import {
  checkJournal,
  type CheckedJournal,
  JournalDamaged,
  type JournalTables,
  loadedRecord,
} from './journal-check.js';
import {
  JournalMetaEntity,
  JournalRecordEntity,
  type JournalMeta,
  type JournalRecordRow,
  SnapshotEntity,
  type SnapshotRow,
} from './journal-entities.js';

/** How long to wait for another process that still holds the file, in ms. */
const BUSY_MS = 2000;
/** Rows fetched at a time, so that a long journal is never in memory as a whole. */
const PAGE_ROWS = 64;

export const connectionOf = (source: DataSource): Database.Database =>
  (source.driver as unknown as { databaseConnection: Database.Database }).databaseConnection;

/** Opens or makes a journal file for writing; `maxBytes` undefined: it must exist and is only read. */
export async function openSource(file: string, maxBytes: number | undefined): Promise<DataSource> {
  let opened: Database.Database | undefined;
  const source = new DataSource({
    type: 'better-sqlite3',
    driver: Database,
    database: file,
    entities: [JournalMetaEntity, JournalRecordEntity, SnapshotEntity],
    fileMustExist: true,
    timeout: BUSY_MS,
    prepareDatabase: (db: Database.Database) => prepare((opened = db), maxBytes),
  });
  try {
    if (maxBytes !== undefined) makePrivate(file);
    await source.initialize();
    if (maxBytes !== undefined && isNew(source)) await source.synchronize();
    return source;
  } catch (e) {
    // TypeORM forgets a connection that it could not initialise; its lock on the file must not outlive it.
    opened?.close();
    if (source.isInitialized) await source.destroy();
    throw journalError(file, e);
  }
}

/** Makes the file readable for its owner alone before SQLite writes into it: it holds guests' memory. */
function makePrivate(file: string): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  closeSync(openSync(file, 'a', 0o600));
}

function prepare(db: Database.Database, maxBytes: number | undefined): void {
  db.pragma('trusted_schema = OFF');
  if (maxBytes === undefined) return void db.pragma('query_only = ON');
  // One writer: a second process that opens the same journal is refused, not interleaved.
  db.pragma('locking_mode = EXCLUSIVE');
  db.pragma('journal_mode = WAL');
  const pageSize = db.pragma('page_size', { simple: true }) as number;
  db.pragma(`max_page_count = ${Math.max(1, Math.floor(maxBytes / pageSize))}`);
}

const isNew = (source: DataSource): boolean =>
  connectionOf(source).prepare('SELECT count(*) FROM sqlite_master').pluck().get() === 0;

export function readTables(db: Database.Database): JournalTables {
  return {
    meta: db.prepare<[], JournalMeta>('SELECT * FROM meta').all(),
    records: rows<JournalRecordRow>(db, 'SELECT * FROM record ORDER BY seq'),
    snapshots: rows<SnapshotRow>(db, 'SELECT * FROM snapshot ORDER BY seq'),
  };
}

/** Begins only when the first row is asked for: until its end it keeps the connection busy. */
function* rows<Row>(db: Database.Database, sql: string): IterableIterator<Row> {
  yield* db.prepare<[], Row>(sql).iterate();
}

/** Records after sequence `from`, in order, fetched a page at a time; the connection stays free between pages. */
export function* readRecords(db: Database.Database, file: string, from: number): IterableIterator<LoadedRecord> {
  const page = db.prepare<[number, number], JournalRecordRow>(
    'SELECT * FROM record WHERE seq > ? ORDER BY seq LIMIT ?',
  );
  for (;;) {
    const rows = page.all(from, PAGE_ROWS);
    for (const row of rows) yield loadedRecord(file, row);
    if (rows.length < PAGE_ROWS) return;
    from = rows.at(-1)!.seq;
  }
}

export const readSnapshot = (db: Database.Database, seq: number): Snapshot =>
  db.prepare<[number], Snapshot>('SELECT seq, state FROM snapshot WHERE seq = ?').get(seq)!;

/** What SQLite finds wrong with a file, in our words; other errors pass. */
export function journalError(file: string, e: unknown): unknown {
  const { code, message } = e as { code?: unknown; message: string };
  if (typeof code !== 'string' || !code.startsWith('SQLITE_')) return e;
  if (code.startsWith('SQLITE_BUSY'))
    return new Error(`${file}: another process has this journal open. Stop it first.`, { cause: e });
  if (code.startsWith('SQLITE_FULL')) return full(file, e);
  if (/^SQLITE_(CANTOPEN|READONLY|PERM|IOERR)/.test(code))
    return new Error(
      `${file}: cannot be opened or written (${message}). Check that it exists, who owns it, and the disk.`,
      { cause: e },
    );
  return new JournalDamaged(file, -1, `SQLite cannot read it (${message})`, e);
}

const full = (file: string, cause: unknown): JournalFull =>
  new JournalFull(
    `${file}: the disk is full or the journal is at its size limit. What was acknowledged is kept, and nothing is taken until there is room: free space.`,
    { cause },
  );

/** A checked journal that nobody writes: what replay and time travel read. */
export interface JournalReading extends CheckedJournal {
  /** Records after sequence `from`, or all. */
  records(from?: number): IterableIterator<LoadedRecord>;
  /** The newest snapshot at or before a sequence number. */
  snapshotBefore(seq: number): Snapshot | undefined;
  close(): Promise<void>;
}

/**
 * Opens a journal file for reading and checks all of it; `actor`: whose it must be. `sealed`: a seal has vouched for every
 * byte of the file just now, so its chain is not walked again.
 */
export async function readJournal(file: string, actor?: string, sealed = false): Promise<JournalReading> {
  const source = await openSource(file, undefined);
  const db = connectionOf(source);
  try {
    const checked = sealed ? trustJournal(db) : checkJournal(file, actor, readTables(db));
    return {
      ...checked,
      records: (from = 0) => readRecords(db, file, from),
      snapshotBefore(seq) {
        const at = checked.snapshots.findLast((s) => s <= seq);
        return at === undefined ? undefined : readSnapshot(db, at);
      },
      close: () => source.destroy(),
    };
  } catch (e) {
    await source.destroy();
    throw journalError(file, e);
  }
}

function trustJournal(db: Database.Database): CheckedJournal {
  const meta = db.prepare<[], JournalMeta>('SELECT * FROM meta').get()!;
  const last = db.prepare<[], { seq: number; link: Uint8Array }>(
    'SELECT seq, hash AS link FROM record ORDER BY seq DESC LIMIT 1',
  );
  const snapshots = db.prepare<[], number>('SELECT seq FROM snapshot ORDER BY seq').pluck().all();
  return { meta, head: last.get() ?? { seq: 0, link: new Uint8Array(0) }, snapshots };
}
