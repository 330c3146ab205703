/** Journals whose content is a function of their numbers, so that whatever is read back can be judged. */
import { appendFileSync } from 'node:fs';
import { encodeInputs } from '@vfiolab/core';
import { openJournal } from '@vfiolab/shell';

const ACTOR = 'pages';
const TIME = 1_700_000_000_000;
/** Records between snapshots; a snapshot is a write of several pages. */
const SNAPSHOT_EVERY = 64;
const SNAPSHOT_BYTES = 9000;

const bytesOf = (n, length) => Uint8Array.from({ length }, (_, i) => n * 31 + i * 7);
/** Most fit in a page, some take several. */
const lengthOf = (seq) => (seq % 17 === 0 ? 5000 : (seq * 37) % 300);

function recordAt(seq) {
  const now = TIME + seq;
  const input = { from: 'client:a', frame: bytesOf(seq, lengthOf(seq)), now, entropy: new Uint8Array(0) };
  return { seq, body: encodeInputs([input], now) };
}

const open = (file, mode) => openJournal({ file, actor: ACTOR, mode, record: true });

/** Appends `count` records and says in `acks` which are acknowledged: one line each. */
export async function append(file, mode, count, acks) {
  const journal = await open(file, mode);
  journal.load();
  const first = journal.head().seq + 1;
  for (let seq = first; seq < first + count; seq++) {
    journal.append(recordAt(seq), []);
    if (seq % SNAPSHOT_EVERY === 0) journal.saveSnapshot({ seq, state: bytesOf(seq, SNAPSHOT_BYTES) });
    if (acks) appendFileSync(acks, `${seq}\n`);
  }
  return journal;
}

/**
 * Reads a journal as recovery does and judges every byte of it. Answers the number of the last record; throws when the journal
 * is refused, or, with `wrong` set, when something is in it that was never written.
 */
export async function readBack(file) {
  const journal = await open(file, 'process');
  try {
    const { snapshot, records } = journal.load();
    if (snapshot && !Buffer.from(bytesOf(snapshot.seq, SNAPSHOT_BYTES)).equals(Buffer.from(snapshot.state)))
      throw Object.assign(new Error(`snapshot ${snapshot.seq} is another`), { wrong: true });
    let last = snapshot?.seq ?? 0;
    for (const { seq, body } of records) {
      if (seq !== last + 1 || !Buffer.from(recordAt(seq).body).equals(Buffer.from(body)))
        throw Object.assign(new Error(`record ${seq} is another`), { wrong: true });
      last = seq;
    }
    return last;
  } finally {
    journal.close();
  }
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const [file, mode, count, acks] = process.argv.slice(2);
  await append(file, mode, Number(count), acks);
  // As a process ends that is killed: nothing is closed.
  process.kill(process.pid, 'SIGKILL');
}
