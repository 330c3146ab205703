/**
 * The journal of one actor in one SQLite file.
 *
 * Words: *durable* means what the mode promises: `process`: survives SIGKILL of this process; `power`: survives loss of
 * power too; `none`: nothing is kept.
 * Rule: one record is one transaction. What `append` did not return from is not in the file, not even in part.
 *
 * TypeORM owns the connection and the tables; records are written by statements prepared on its connection, which costs
 * 2 us a row instead of 116.
 */
import {
  type Head,
  hex,
  type Journaled,
  type JournalPort,
  type JournalRecord,
  NoJournal,
  type Output,
  recordHeader,
  type Snapshot,
} from '@vfiolab/core';
import type Database from 'better-sqlite3';
import type { DataSource } from 'typeorm';
import { checkJournal } from './journal-check.js';
import { JOURNAL_FORMAT } from './journal-entities.js';
import { connectionOf, journalError, openSource, readRecords, readSnapshot, readTables } from './journal-file.js';
import { chainHash, outputsDigest, snapshotHash } from './journal-hash.js';

export type Durability = 'process' | 'power' | 'none';
export const DURABILITIES: readonly Durability[] = ['process', 'power', 'none'];

export interface JournalOptions {
  readonly file: string;
  /** Address of the actor; a file that belongs to another one is refused. */
  readonly actor: string;
  readonly mode: Durability;
  /** Keeps every record, so that the run can be replayed from its beginning. */
  readonly record: boolean;
  /** The file does not grow beyond this; default 16 GiB. */
  readonly maxBytes?: number;
}

const DEFAULT_MAX_BYTES = 16 * 2 ** 30;
const SNAPSHOTS_KEPT = 2;
const NO_LINK = new Uint8Array(0);

/** Opens or makes the journal of an actor. Mode `none` touches no file. */
export async function openJournal(options: JournalOptions): Promise<JournalPort> {
  if (options.mode === 'none') return new NoJournal();
  const source = await openSource(options.file, options.maxBytes ?? DEFAULT_MAX_BYTES);
  try {
    return new SqliteJournal(source, options);
  } catch (e) {
    await source.destroy();
    throw e;
  }
}

/** One open journal file. It is written only after it was loaded. */
export class SqliteJournal implements JournalPort {
  private readonly db: Database.Database;
  private readonly file: string;
  private seq = 0;
  private link: Uint8Array = NO_LINK;
  private hexLink = '';
  private loaded = false;
  private writing = false;
  private readonly insert: Database.Statement;

  constructor(
    /** The connection with its entities, for what people read. */
    readonly source: DataSource,
    private readonly options: JournalOptions,
  ) {
    this.db = connectionOf(source);
    this.file = options.file;
    this.guard(() => this.describe());
    this.insert = this.db.prepare(
      'INSERT INTO record (seq, time, inputs, prev, outputs, hash, body) VALUES (?, ?, ?, ?, ?, ?, ?)',
    );
  }

  /** Writes into a new file whose journal it is. A file with content but no description is left for `load` to refuse. */
  private describe(): void {
    const rows = this.db.prepare(
      'SELECT (SELECT count(*) FROM meta) + (SELECT count(*) FROM record) + (SELECT count(*) FROM snapshot)',
    );
    if (rows.pluck().get() !== 0) return;
    const insert = this.db.prepare('INSERT INTO meta (id, actor, format, created, closedSeq) VALUES (1, ?, ?, ?, 0)');
    insert.run(this.options.actor, JOURNAL_FORMAT, Date.now());
  }

  load(): Journaled {
    const checked = this.guard(() => checkJournal(this.file, this.options.actor, readTables(this.db)));
    this.advance(checked.head.seq, checked.head.link);
    this.loaded = true;
    const newest = checked.snapshots.at(-1);
    if (newest === undefined) return { snapshot: undefined, records: readRecords(this.db, this.file, 0) };
    return { snapshot: readSnapshot(this.db, newest), records: readRecords(this.db, this.file, newest) };
  }

  append({ seq, body }: JournalRecord, outputs: readonly Output[]): void {
    const made = outputsDigest(outputs);
    const link = chainHash(this.link, seq, made, body);
    const { now, inputs } = recordHeader(body);
    this.guard(() => {
      this.beginWriting();
      this.insert.run(seq, now, inputs, this.link, made, link, body);
    });
    this.advance(seq, link);
  }

  private advance(seq: number, link: Uint8Array): void {
    this.seq = seq;
    this.link = link;
    this.hexLink = '';
  }

  head(): Head {
    if (this.hexLink === '') this.hexLink = hex(this.link);
    return { seq: this.seq, hash: this.hexLink };
  }

  /** First write after opening: takes the mark of an orderly close away, and makes sure that the mode is in force. */
  private beginWriting(): void {
    if (this.writing) return;
    if (!this.loaded) throw new Error(`${this.file}: a journal is loaded before it is written`);
    const level = this.options.mode === 'power' ? 2 : 1;
    this.db.pragma(`synchronous = ${level}`);
    this.db.prepare('UPDATE meta SET closedSeq = -1').run();
    // SQLite builds may lower the level of a WAL file at its first write, so it is looked at only now.
    if (this.db.pragma('synchronous', { simple: true }) !== level)
      throw new Error(`${this.file}: SQLite does not keep to durability '${this.options.mode}'`);
    this.writing = true;
  }

  saveSnapshot({ seq, state }: Snapshot): void {
    if (seq !== this.seq) throw new Error(`${this.file}: a snapshot at ${seq} of a journal that ends at ${this.seq}`);
    this.guard(() => {
      this.beginWriting();
      this.db.transaction(() => this.replaceSnapshots(seq, state))();
    });
  }

  private replaceSnapshots(seq: number, state: Uint8Array): void {
    const insert = this.db.prepare('INSERT OR REPLACE INTO snapshot (seq, link, hash, state) VALUES (?, ?, ?, ?)');
    insert.run(seq, this.link, snapshotHash(this.link, seq, state), state);
    if (this.options.record) return;
    const kept = this.db
      .prepare<[number], { seq: number }>('SELECT seq FROM snapshot ORDER BY seq DESC LIMIT ?')
      .all(SNAPSHOTS_KEPT);
    if (kept.length < SNAPSHOTS_KEPT) return;
    const oldest = kept.at(-1)!.seq;
    this.db.prepare('DELETE FROM snapshot WHERE seq < ?').run(oldest);
    this.db.prepare('DELETE FROM record WHERE seq <= ?').run(oldest);
  }

  /** Leaves one file behind: no WAL, and a mark that says where the journal ends. */
  close(): void {
    if (!this.db.open) return;
    try {
      if (this.writing) this.db.prepare('UPDATE meta SET closedSeq = ?').run(this.seq);
      this.db.pragma('wal_checkpoint(TRUNCATE)');
      this.db.pragma('journal_mode = DELETE');
    } catch {
      // On a full disk the mark cannot be written: the file is then as a crash leaves it, and nothing in it is lost.
    } finally {
      this.db.close();
      void this.source.destroy();
    }
  }

  private guard<T>(work: () => T): T {
    try {
      return work();
    } catch (e) {
      throw journalError(this.file, e);
    }
  }
}
