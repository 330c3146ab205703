/**
 * Reading a journal back, with every doubt turned into an error.
 *
 * Rule: what is read is either exactly what was written or a `JournalDamaged`; nothing is repaired or skipped.
 */
import { type LoadedRecord, type Output, recordHeader, WireError } from '@vfiolab/core';
import { JOURNAL_FORMAT, type JournalMeta, type JournalRecordRow, type SnapshotRow } from './journal-entities.js';
import { chainHash, genesisHash, HASH_BYTES, outputsDigest, sameBytes, snapshotHash } from './journal-hash.js';

const REMEDY = 'Restore the file from a copy, or remove the lab and make it anew.';

/** The file does not hold what was written into it. */
export class JournalDamaged extends Error {
  constructor(
    readonly file: string,
    /** Where the damage is: the sequence number of a record or snapshot; -1 = the file as a whole. */
    readonly seq: number,
    what: string,
    cause?: unknown,
  ) {
    const where = seq < 0 ? file : `${file}, record ${seq}`;
    super(`${where}: ${what}. ${REMEDY}`, { cause });
  }
}

/** A replay of the same inputs made other outputs: the code differs from the one that wrote the journal. */
export class ReplayDiverged extends Error {
  constructor(
    readonly file: string,
    readonly seq: number,
  ) {
    super(
      `${file}: the replay up to record ${seq} made other outputs than were made when it was written. ` +
        'Run the version of the program that wrote this journal, or report this as a bug with the file.',
    );
  }
}

/** What a journal file holds, read one row at a time. */
export interface JournalTables {
  readonly meta: readonly JournalMeta[];
  /** Oldest first. */
  readonly records: Iterable<JournalRecordRow>;
  /** Oldest first. */
  readonly snapshots: Iterable<SnapshotRow>;
}

/** What is left of a checked journal when its rows have gone by. */
export interface CheckedJournal {
  readonly meta: JournalMeta;
  readonly head: JournalLink;
  /** Sequence numbers of the snapshots, oldest first. */
  readonly snapshots: readonly number[];
}

interface JournalLink {
  readonly seq: number;
  readonly link: Uint8Array;
}

/** Checks everything that a journal file holds; throws `JournalDamaged` at the first thing that is wrong. */
export function checkJournal(file: string, actor: string | undefined, tables: JournalTables): CheckedJournal {
  const meta = checkMeta(file, actor, tables.meta);
  const snapshots: JournalLink[] = [];
  for (const s of tables.snapshots) snapshots.push(checkSnapshot(file, s));
  const unmatched = new Map(snapshots.map((s) => [s.seq, s]));
  let head: JournalLink | undefined;
  for (const row of tables.records) {
    head = checkRecord(file, row, head ?? chainStart(meta, snapshots, row.seq - row.inputs));
    matchSnapshot(file, unmatched, head);
  }
  head ??= chainStart(meta, snapshots, snapshots[0]?.seq ?? 0);
  checkEnd(file, meta, head.seq);
  const [stray] = unmatched.keys();
  if (stray !== undefined) throw new JournalDamaged(file, stray, 'there is a snapshot at this number, but no record');
  return { meta, head, snapshots: snapshots.map((s) => s.seq) };

  /** The link before the first record: the oldest of several snapshots when the records before it were dropped. */
  function chainStart(about: JournalMeta, known: readonly JournalLink[], before: number): JournalLink {
    const oldest = known[0];
    const pruned = oldest !== undefined && known.length > 1 && oldest.seq === before;
    const start = pruned ? oldest : { seq: 0, link: genesisHash(about.actor, about.created) };
    matchSnapshot(file, unmatched, start);
    return start;
  }
}

function matchSnapshot(file: string, unmatched: Map<number, JournalLink>, at: JournalLink): void {
  const snapshot = unmatched.get(at.seq);
  if (!snapshot) return;
  if (!sameBytes(snapshot.link, at.link))
    throw new JournalDamaged(file, at.seq, 'the snapshot does not belong to the records');
  unmatched.delete(at.seq);
}

function checkMeta(file: string, actor: string | undefined, rows: readonly JournalMeta[]): JournalMeta {
  const meta = rows[0];
  if (!meta || rows.length !== 1 || meta.id !== 1)
    throw new JournalDamaged(file, -1, 'it does not say which journal it is');
  if (!isCount(meta.created) || typeof meta.actor !== 'string')
    throw new JournalDamaged(file, -1, 'its description is not readable');
  if (meta.format !== JOURNAL_FORMAT)
    throw new JournalDamaged(file, -1, `it has format ${meta.format}, this program reads format ${JOURNAL_FORMAT}`);
  if (actor !== undefined && meta.actor !== actor)
    throw new JournalDamaged(file, -1, `it is the journal of ${meta.actor}, not of ${actor}`);
  return meta;
}

function checkSnapshot(file: string, s: SnapshotRow): JournalLink {
  const whole = isCount(s.seq) && isHash(s.link) && isHash(s.hash) && Buffer.isBuffer(s.state);
  if (!whole || !sameBytes(snapshotHash(s.link, s.seq, s.state), s.hash))
    throw new JournalDamaged(file, Number(s.seq), 'the snapshot does not fit its hash');
  return { seq: s.seq, link: s.link };
}

function checkRecord(file: string, row: JournalRecordRow, before: JournalLink): JournalLink {
  const { seq, prev, outputs, hash, body } = row;
  if (!isCount(seq) || !isHash(prev) || !isHash(outputs) || !isHash(hash) || !Buffer.isBuffer(body))
    throw new JournalDamaged(file, Number(seq), 'a column does not have its type');
  if (!sameBytes(prev, before.link)) throw new JournalDamaged(file, seq, `it does not follow record ${before.seq}`);
  if (!sameBytes(chainHash(prev, seq, outputs, body), hash))
    throw new JournalDamaged(file, seq, 'its bytes do not fit its hash');
  const { now, inputs } = headerOf(file, row);
  if (seq !== before.seq + inputs)
    throw new JournalDamaged(
      file,
      seq,
      `it holds ${inputs} inputs and follows record ${before.seq}, so its number must be ${before.seq + inputs}`,
    );
  if (row.time !== now || row.inputs !== inputs)
    throw new JournalDamaged(file, seq, 'its time or input count is not that of its body');
  return { seq, link: hash };
}

function headerOf(file: string, { seq, body }: JournalRecordRow): { now: number; inputs: number } {
  try {
    return recordHeader(body);
  } catch (e) {
    if (e instanceof WireError) throw new JournalDamaged(file, seq, 'its body is too short', e);
    throw e;
  }
}

function checkEnd(file: string, { closedSeq }: JournalMeta, end: number): void {
  if (closedSeq === -1 || closedSeq === end) return;
  throw new JournalDamaged(file, -1, `it was closed after record ${closedSeq}, but ends at record ${end}`);
}

const isCount = (v: unknown): v is number => Number.isSafeInteger(v) && (v as number) >= 0;
const isHash = (v: unknown): v is Buffer => Buffer.isBuffer(v) && v.length === HASH_BYTES;

/** A checked row as recovery and replay take it. */
export function loadedRecord(file: string, { seq, outputs, body }: JournalRecordRow): LoadedRecord {
  const check = (made: readonly Output[]): void => {
    if (!sameBytes(outputsDigest(made), outputs)) throw new ReplayDiverged(file, seq);
  };
  return { seq, body, check };
}
