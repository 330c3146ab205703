/**
 * Loss of power at every moment of a process that writes a journal in mode `power`.
 *
 * Words: a *point* is a moment between two writes or syncs. What of the unsynced is on the disk then is a *model*: `all` of it,
 * `none` of it, or `some` sectors of it, by chance.
 * Rule: what was acknowledged is there, in every model; what is there was written.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readBack } from './journal.mjs';

const here = (name) => new URL(name, import.meta.url).pathname;
const SECTOR = 512;
export const MODELS = ['all', 'none', 'some'];

/** What a process did to the files of a folder. */
function* readLog(file) {
  const log = readFileSync(file);
  for (let p = 0; p < log.length;) {
    const op = String.fromCharCode(log[p]);
    const n = log[p + 1];
    const name = log.toString('latin1', p + 2, p + 2 + n);
    const at = Number(log.readBigUInt64LE(p + 2 + n));
    const length = log.readUInt32LE(p + 10 + n);
    p += 14 + n;
    yield { op, name, at, bytes: log.subarray(p, p + length) };
    p += length;
  }
}

/** A file as the program sees it, as the disk surely has it, and what may be or not be on the disk. */
class File {
  seen = Buffer.alloc(0);
  synced = Buffer.alloc(0);
  unsynced = [];
  /** It was removed: as the program sees it, and on the disk for sure. */
  gone = false;
  surelyGone = false;

  static apply(content, { op, at, bytes }) {
    if (op === 't') return Buffer.concat([content.subarray(0, at), Buffer.alloc(Math.max(0, at - content.length))]);
    const grown = at + bytes.length > content.length ? Buffer.alloc(at + bytes.length) : Buffer.from(content);
    if (grown.length > content.length) content.copy(grown);
    bytes.copy(grown, at);
    return grown;
  }

  take(op) {
    this.gone = op.op === 'u';
    if (op.op === 'u') return;
    this.surelyGone = false;
    if (op.op === 's') {
      this.synced = this.seen;
      this.unsynced = [];
      return;
    }
    this.seen = File.apply(this.seen, op);
    this.unsynced.push(op);
  }

  /** What is there; undefined: nothing. `chance` decides for each sector, truncation and removal whether it is on the disk. */
  after(model, chance) {
    if (this.surelyGone || (this.gone && (model === 'all' || (model === 'some' && chance() < 0.5)))) return undefined;
    if (model === 'all') return this.seen;
    if (model === 'none') return this.synced;
    let content = this.synced;
    for (const op of this.unsynced) {
      if (op.op === 't') content = chance() < 0.5 ? File.apply(content, op) : content;
      for (let from = 0; from < op.bytes.length; from += SECTOR) {
        const bytes = op.bytes.subarray(from, from + SECTOR);
        if (chance() < 0.5) content = File.apply(content, { op: 'w', at: op.at + from, bytes });
      }
    }
    return content;
  }
}

/** The shim that writes the log; it is compiled anew for each use. */
function shim(dir) {
  const out = join(dir, 'io-log.so');
  execFileSync('gcc', ['-shared', '-fPIC', '-O1', '-o', out, here('./io-log.c'), '-ldl']);
  return out;
}

/** `every`: of the points, one in so many. */
export async function power({ dir, records, every = 1, chance, mode = 'power' }) {
  const [files, image, log] = [join(dir, 'files'), join(dir, 'image'), join(dir, 'io.log')];
  for (const each of [files, image]) mkdirSync(each, { recursive: true });
  rmSync(log, { force: true });
  const env = { ...process.env, LD_PRELOAD: shim(dir), VFIOLAB_IO_LOG: log, VFIOLAB_IO_UNDER: files };
  const { signal, stderr } = spawnSync(
    process.execPath,
    [here('./journal.mjs'), join(files, 'a.db'), mode, String(records), join(files, 'acks')],
    { env, encoding: 'utf8' },
  );
  if (signal !== 'SIGKILL') throw new Error(`the writer did not come to its end: ${stderr}`);
  const contents = new Map();
  const wrong = [];
  let [acknowledged, points, lost, at] = [0, 0, 0, 0];
  for (const op of readLog(log)) {
    if (op.name === 'acks') {
      if (op.op === 'w') acknowledged = Number(op.bytes.toString());
      continue;
    }
    if (op.name === '.') {
      for (const file of contents.values()) file.surelyGone = file.gone;
      continue;
    }
    if (!contents.has(op.name)) contents.set(op.name, new File());
    contents.get(op.name).take(op);
    if (at++ % every !== 0) continue;
    points++;
    for (const model of MODELS) {
      rmSync(image, { recursive: true });
      mkdirSync(image);
      for (const [name, file] of contents) {
        const content = file.after(model, chance);
        if (content) writeFileSync(join(image, name), content);
      }
      try {
        lost += Math.max(0, acknowledged - (await readBack(join(image, 'a.db'))));
      } catch (e) {
        // A journal that is refused was never acknowledged to be there.
        if (e.wrong || acknowledged > 0) wrong.push(`point ${at}, ${model}: ${e.message}`);
      }
    }
  }
  return { points, models: MODELS.length, acknowledged, lost, wrong };
}
