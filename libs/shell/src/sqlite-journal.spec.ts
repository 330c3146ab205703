import { spawn } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Database from 'better-sqlite3';
import { JournalFull, type JournalPort, unhex } from '@vfiolab/core';
import { JournalDamaged, ReplayDiverged } from './journal-check.js';
import { connectionOf, readJournal } from './journal-file.js';
import { chainHash, genesisHash, outputsDigest } from './journal-hash.js';
import { checkSeal, sealJournal } from './journal-seal.js';
import { type JournalOptions, openJournal, SqliteJournal } from './sqlite-journal.js';
import { until } from './testing/rig.js';
import { sampleOutputs, sampleRecord } from './testing/journal-samples.js';

let dir: string;
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'vfiolab-journal-'))));
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const options = (file: string, more: Partial<JournalOptions> = {}): JournalOptions => ({
  file,
  actor: 'pages',
  mode: 'process',
  record: true,
  ...more,
});

/** A loaded journal with records of two inputs each, up to sequence `2 * records`. */
async function written(file: string, records: number, more: Partial<JournalOptions> = {}): Promise<JournalPort> {
  const journal = await openJournal(options(file, more));
  journal.load();
  for (let n = 1; n <= records; n++) journal.append(sampleRecord(2 * n, 2), sampleOutputs(2 * n));
  return journal;
}

/** Sequence numbers and bodies that recovery would see; throws as recovery would. */
async function contents(file: string, more: Partial<JournalOptions> = {}): Promise<string> {
  const journal = await openJournal(options(file, more));
  try {
    const { snapshot, records } = journal.load();
    const rows = [...records].map((r) => `${r.seq}:${Buffer.from(r.body).toString('hex')}`);
    return [snapshot ? `${snapshot.seq}=${Buffer.from(snapshot.state).toString('hex')}` : 'none', ...rows].join('\n');
  } finally {
    journal.close();
  }
}

/** One small page per table, so that every byte of a file can be tried. */
function smallPages(file: string): void {
  const db = new Database(file);
  db.pragma('page_size = 512');
  db.exec('CREATE TABLE t (x); DROP TABLE t; VACUUM');
  db.close();
}

describe('the chain', () => {
  test('what was appended is read back in order, with the head it had', async () => {
    const file = join(dir, 'a.db');
    const journal = await written(file, 200);
    const head = journal.head();
    journal.close();
    const again = await openJournal(options(file));
    const { snapshot, records } = again.load();
    expect(snapshot).toBeUndefined();
    expect([...records].map((r) => r.seq)).toEqual(Array.from({ length: 200 }, (_, i) => 2 * i + 2));
    expect(again.head()).toEqual(head);
    again.close();
  });

  test('a link is the hash of the link before, the number, the outputs and the body', async () => {
    const file = join(dir, 'a.db');
    const journal = await written(file, 1);
    const { created } = (await (journal as SqliteJournal).source.getRepository('meta').find())[0]!;
    const record = sampleRecord(2, 2);
    const link = chainHash(genesisHash('pages', created as number), 2, outputsDigest(sampleOutputs(2)), record.body);
    expect(unhex(journal.head().hash)).toEqual(new Uint8Array(link));
    journal.close();
  });

  test('a replay that makes the same outputs passes, one that makes others is refused with the record and the remedy', async () => {
    const file = join(dir, 'a.db');
    (await written(file, 3)).close();
    const reading = await readJournal(file, 'pages');
    const [first, second] = [...reading.records()];
    expect(() => first!.check!(sampleOutputs(2))).not.toThrow();
    expect(() => second!.check!(sampleOutputs(5))).toThrow(ReplayDiverged);
    expect(() => second!.check!([])).toThrow(/record 4 made other outputs.*report this as a bug/);
    await reading.close();
  });

  test('the journal of another actor is refused', async () => {
    const file = join(dir, 'a.db');
    (await written(file, 1)).close();
    await expect(contents(file, { actor: 'iommu' })).rejects.toThrow(/journal of pages, not of iommu/);
  });

  test.each([
    ['a record is missing', 'DELETE FROM record WHERE seq = 4', /record 6: it does not follow record 2/],
    ['the last record is missing', 'DELETE FROM record WHERE seq = 10', /closed after record 10, but ends at record 8/],
    [
      'a record has another number',
      'UPDATE record SET seq = 5 WHERE seq = 4',
      /record 5: its bytes do not fit its hash/,
    ],
    ['a body is empty', "UPDATE record SET body = x'' WHERE seq = 4", /record 4: its bytes do not fit its hash/],
    ['a body is text', "UPDATE record SET body = 'x' WHERE seq = 4", /record 4: a column does not have its type/],
    ['the time was changed', 'UPDATE record SET time = 5 WHERE seq = 4', /record 4: its time or input count/],
    ['the outputs digest was changed', 'UPDATE record SET outputs = hash WHERE seq = 4', /record 4: its bytes/],
    ['the description is missing', 'DELETE FROM meta', /does not say which journal it is/],
    ['the format is newer', 'UPDATE meta SET format = 9', /has format 9, this program reads format 1/],
    ['a table is missing', 'DROP TABLE snapshot', /SQLite cannot read it \(no such table: snapshot\)/],
  ])('%s: load names the place', async (_name, sql, message) => {
    const file = join(dir, 'a.db');
    (await written(file, 5)).close();
    const db = new Database(file);
    db.exec(sql);
    db.close();
    await expect(contents(file)).rejects.toThrow(message);
    await expect(contents(file)).rejects.toThrow(/Restore the file from a copy/);
  });

  test('a chain whose numbers do not grow by the inputs is refused even when its hashes fit', async () => {
    const file = join(dir, 'a.db');
    const journal = await openJournal(options(file));
    journal.load();
    journal.append(sampleRecord(3, 2), []);
    journal.close();
    await expect(contents(file)).rejects.toThrow(/holds 2 inputs and follows record 0, so its number must be 2/);
  });

  test('a journal is not written before it was loaded', async () => {
    const journal = await openJournal(options(join(dir, 'a.db')));
    expect(() => journal.append(sampleRecord(1, 1), [])).toThrow(/loaded before it is written/);
    journal.close();
  });
});

describe('damage', () => {
  test('every flipped byte of a closed file breaks its seal', async () => {
    const file = join(dir, 'a.db');
    smallPages(file);
    (await written(file, 2)).close();
    const seal = sealJournal(file);
    expect(() => checkSeal(file, seal)).not.toThrow();
    const good = readFileSync(file);
    for (let at = 0; at < good.length; at++) {
      const bad = Buffer.from(good);
      bad[at]! ^= 1 << (at % 8);
      writeFileSync(file, bad);
      expect(() => checkSeal(file, seal)).toThrow(JournalDamaged);
    }
  });

  test('a flipped byte is refused by load or changes nothing that load answers', async () => {
    const file = join(dir, 'a.db');
    smallPages(file);
    (await written(file, 4)).close();
    const good = readFileSync(file);
    const expected = await contents(file);
    let refused = 0;
    for (let at = 0; at < good.length; at += 7) {
      const bad = Buffer.from(good);
      bad[at]! ^= 1 << (at % 8);
      writeFileSync(file, bad);
      const got = await contents(file).catch((e: Error) => e);
      if (typeof got !== 'string') refused++;
      else expect({ at, got }).toEqual({ at, got: expected });
    }
    // About a third of the file is records; the rest is schema and free space.
    expect(refused).toBeGreaterThan(good.length / 7 / 10);
  }, 60_000);

  test('a flipped byte in any body or hash is refused by load', async () => {
    const file = join(dir, 'a.db');
    (await written(file, 3)).close();
    const good = readFileSync(file);
    const start = good.indexOf(Buffer.from(sampleRecord(4, 2).body));
    for (let at = start - 96; at < start + sampleRecord(4, 2).body.length; at += 5) {
      const bad = Buffer.from(good);
      bad[at]! ^= 0x10;
      writeFileSync(file, bad);
      await expect(contents(file)).rejects.toThrow(JournalDamaged);
    }
  });

  test.each([0.9, 0.5, 0.1])('a file cut to %p of its length is refused', async (part) => {
    const file = join(dir, 'a.db');
    (await written(file, 200)).close();
    truncateSync(file, Math.floor(statSync(file).size * part));
    await expect(contents(file)).rejects.toThrow(JournalDamaged);
  });

  test('a file that is no journal is refused and left as it is', async () => {
    const file = join(dir, 'a.db');
    writeFileSync(file, 'this is a letter, not a journal'.repeat(40));
    await expect(contents(file)).rejects.toThrow(/a\.db: SQLite cannot read it/);
    expect(readFileSync(file, 'utf8')).toMatch(/^this is a letter/);
  });

  test('an open journal has no seal', async () => {
    const file = join(dir, 'a.db');
    const journal = await written(file, 1);
    expect(() => sealJournal(file)).toThrow(/was not closed.*Start and stop its service/);
    journal.close();
  });
});

describe('limits and modes', () => {
  test('a full disk that has room again takes the record that it refused', async () => {
    const file = join(dir, 'a.db');
    const journal = (await written(file, 3, { maxBytes: 128 * 1024 })) as SqliteJournal;
    const refused = sampleRecord(7, 1, 200_000);
    expect(() => journal.append(refused, [])).toThrow(JournalFull);
    expect(() => journal.append(refused, [])).toThrow(JournalFull);
    connectionOf(journal.source).pragma('max_page_count = 4096');
    journal.append(refused, []);
    expect(journal.head().seq).toBe(7);
    journal.close();
    const reading = await readJournal(file);
    expect(reading.head.seq).toBe(7);
    await reading.close();
  });

  test('a full disk: append throws, nothing of the record is written, all before it is kept', async () => {
    const file = join(dir, 'a.db');
    const journal = await written(file, 3, { maxBytes: 128 * 1024 });
    let seq = 6;
    const fill = (): void => {
      for (; seq < 1000; seq++) journal.append(sampleRecord(seq + 1, 1, 4000), []);
    };
    expect(fill).toThrow(JournalFull);
    expect(fill).toThrow(/disk is full.*acknowledged is kept/);
    expect(journal.head().seq).toBe(seq);
    journal.close();
    const reading = await readJournal(file);
    expect(reading.head.seq).toBe(seq);
    await reading.close();
  });

  test.each([
    ['process', 1],
    ['power', 2],
  ] as const)('mode %s writes with synchronous = %i, also after its first write', async (mode, level) => {
    const journal = (await written(join(dir, 'a.db'), 2, { mode })) as SqliteJournal;
    expect(await journal.source.query('PRAGMA synchronous')).toEqual([{ synchronous: level }]);
    expect(await journal.source.query('PRAGMA journal_mode')).toEqual([{ journal_mode: 'wal' }]);
    journal.close();
  });

  test('mode none makes no file', async () => {
    const journal = await openJournal(options(join(dir, 'a.db'), { mode: 'none' }));
    expect([...journal.load().records]).toEqual([]);
    journal.append(sampleRecord(1, 1), []);
    expect(journal.head()).toEqual({ seq: 1, hash: '' });
    expect(existsSync(join(dir, 'a.db'))).toBe(false);
  });

  test('only the owner may read the file, and after close it is the only one', async () => {
    const file = join(dir, 'sub', 'a.db');
    const journal = await written(file, 5);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(statSync(`${file}-wal`).mode & 0o777).toBe(0o600);
    journal.close();
    expect(existsSync(`${file}-wal`) || existsSync(`${file}-shm`)).toBe(false);
    journal.close();
  });

  test('two cannot have one journal open', async () => {
    const file = join(dir, 'a.db');
    const journal = await written(file, 1);
    await expect(openJournal(options(file))).rejects.toThrow(/another process has this journal open/);
    journal.close();
  });
});

describe('snapshots', () => {
  const state = (n: number): Uint8Array => Uint8Array.of(n, n, n);

  async function withSnapshots(file: string, record: boolean): Promise<void> {
    const journal = await openJournal(options(file, { record }));
    journal.load();
    for (let seq = 1; seq <= 40; seq++) {
      journal.append(sampleRecord(seq, 1), sampleOutputs(seq));
      if (seq % 10 === 0 && seq < 40) journal.saveSnapshot({ seq, state: state(seq) });
    }
    journal.close();
  }

  test('the last two are kept, and the records after the older of them', async () => {
    const file = join(dir, 'a.db');
    await withSnapshots(file, false);
    const reading = await readJournal(file);
    expect(reading.snapshots).toEqual([20, 30]);
    expect([...reading.records()].map((r) => r.seq)[0]).toBe(21);
    await reading.close();
    expect(await contents(file)).toMatch(/^30=1e1e1e\n31:/);
  });

  test('a recorded run keeps everything', async () => {
    const file = join(dir, 'a.db');
    await withSnapshots(file, true);
    const reading = await readJournal(file);
    expect(reading.snapshots).toEqual([10, 20, 30]);
    expect([...reading.records()].length).toBe(40);
    expect(reading.snapshotBefore(29)).toEqual({ seq: 20, state: Buffer.from(state(20)) });
    expect(reading.snapshotBefore(9)).toBeUndefined();
    await reading.close();
  });

  test.each([
    [
      'a changed state',
      "UPDATE snapshot SET state = x'00' WHERE seq = 30",
      /record 30: the snapshot does not fit its hash/,
    ],
    ['a snapshot at another number', 'UPDATE snapshot SET seq = 31 WHERE seq = 30', /does not fit its hash/],
    [
      'records before the first snapshot gone',
      'DELETE FROM record WHERE seq <= 30',
      /snapshot at this number, but no record|does not follow/,
    ],
  ])('%s is refused', async (_name, sql, message) => {
    const file = join(dir, 'a.db');
    await withSnapshots(file, true);
    const db = new Database(file);
    db.exec(sql);
    db.close();
    await expect(contents(file)).rejects.toThrow(message);
  });

  test('a snapshot of another moment than the head is refused', async () => {
    const journal = await written(join(dir, 'a.db'), 2);
    expect(() => journal.saveSnapshot({ seq: 3, state: state(3) })).toThrow(
      /a snapshot at 3 of a journal that ends at 4/,
    );
    journal.close();
  });
});

const here = (name: string): string => fileURLToPath(new URL(`./testing/${name}`, import.meta.url));

test('SIGKILL at any moment loses no acknowledged record', async () => {
  const file = join(dir, 'a.db');
  const acks = join(dir, 'acks');
  writeFileSync(acks, '');
  let acknowledged = 0;
  for (let round = 1; round <= 3; round++) {
    const child = spawn(process.execPath, [
      '--import',
      here('run-ts.mjs'),
      here('journal-writer.ts'),
      file,
      'process',
      acks,
    ]);
    const ended = new Promise((resolve) => child.on('close', resolve));
    let errors = '';
    child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
    await until('it has written', () => errors !== '' || statSync(acks).size > 2000 * round, 15_000);
    child.kill('SIGKILL');
    await ended;
    expect(errors).toBe('');
    acknowledged = Number(readFileSync(acks, 'utf8').split('\n').at(-2));
    // What was killed is read from the file and its WAL as they are, on a copy.
    for (const end of ['', '-wal'])
      if (existsSync(file + end)) copyFileSync(file + end, `${join(dir, 'copy.db')}${end}`);
    const reading = await readJournal(join(dir, 'copy.db'), 'pages');
    expect(reading.head.seq).toBeGreaterThanOrEqual(acknowledged);
    await reading.close();
  }
  expect(acknowledged).toBeGreaterThan(100);
}, 60_000);
