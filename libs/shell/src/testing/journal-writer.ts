/**
 * Child process of the SIGKILL test: appends records as fast as it can and writes down which are acknowledged.
 *
 * Arguments: journal file, durability, file of acknowledgements.
 */
import { appendFileSync } from 'node:fs';
import { type Durability, openJournal } from '../sqlite-journal.js';
import { sampleRecord } from './journal-samples.js';

const [file, mode, acks] = process.argv.slice(2) as [string, Durability, string];
const journal = await openJournal({ file, actor: 'pages', mode, record: true });
journal.load();
for (let seq = journal.head().seq + 1; ; seq++) {
  journal.append(sampleRecord(seq, 1), []);
  appendFileSync(acks, `${seq}\n`);
}
