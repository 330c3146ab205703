/**
 * The tables of a journal file.
 *
 * Rule: columns beside `body` and the hashes are there for people and are derived from them; reading checks that they agree.
 */
import { EntitySchema } from 'typeorm';

/** Layout of the file; a file of another version is refused. */
export const JOURNAL_FORMAT = 1;

export interface JournalMeta {
  id: number;
  actor: string;
  format: number;
  /** Milliseconds since the epoch. */
  created: number;
  /** Sequence of the last record when the journal was closed in order; -1 while it is being written. */
  closedSeq: number;
}

export interface JournalRecordRow {
  seq: number;
  /** Milliseconds since the epoch, as in the body. */
  time: number;
  /** Inputs in the record, as in the body. */
  inputs: number;
  prev: Buffer;
  /** Digest of the outputs made since the record before. */
  outputs: Buffer;
  hash: Buffer;
  body: Buffer;
}

export interface SnapshotRow {
  seq: number;
  /** Link of the record at which the state was taken. */
  link: Buffer;
  hash: Buffer;
  state: Buffer;
}

export const JournalMetaEntity = new EntitySchema<JournalMeta>({
  name: 'meta',
  columns: {
    id: { type: 'integer', primary: true },
    actor: { type: 'text' },
    format: { type: 'integer' },
    created: { type: 'integer' },
    closedSeq: { type: 'integer' },
  },
});

export const JournalRecordEntity = new EntitySchema<JournalRecordRow>({
  name: 'record',
  columns: {
    seq: { type: 'integer', primary: true },
    time: { type: 'integer' },
    inputs: { type: 'integer' },
    prev: { type: 'blob' },
    outputs: { type: 'blob' },
    hash: { type: 'blob' },
    body: { type: 'blob' },
  },
});

export const SnapshotEntity = new EntitySchema<SnapshotRow>({
  name: 'snapshot',
  columns: {
    seq: { type: 'integer', primary: true },
    link: { type: 'blob' },
    hash: { type: 'blob' },
    state: { type: 'blob' },
  },
});
