/**
 * A run on disk: one folder with the journals and a manifest.
 *
 * Words: the *manifest* (`run.json`) says what was run, where every journal ended, and seals each file.
 * Rule: the manifest is written last. A folder without one is a run that did not end.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ActorEnd, RunEnd } from '@vfiolab/scenario';
import { type Durability, JournalFolder, type JournalSeal, sealJournal, type ShellConfig } from '@vfiolab/shell';

const FORMAT = 'vfiolab-run/1';
const MANIFEST = 'run.json';
const JOURNALS = 'journals';

export interface RunMeta {
  readonly title: string;
  readonly mode: 'embedded' | 'nats';
  readonly durability: string;
  /** The scenario file's text, so that a run explains itself. */
  readonly scenario?: string;
}

export interface SealedActor extends ActorEnd {
  readonly journal: JournalSeal;
}

export interface Manifest extends RunMeta {
  readonly format: string;
  readonly actors: SealedActor[];
}

const TENANT = 'default';
const HOST = 'host0';

/** The one host of a run, as its services are told. The lab's name is new, so that runs on one server do not meet. */
export const configOf = (dir: string, durability: Durability, record: boolean, nats?: string): ShellConfig => ({
  tenant: TENANT,
  lab: `run-${randomBytes(6).toString('hex')}`,
  host: HOST,
  nats,
  data: join(dir, JOURNALS),
  durability,
  record,
  hosts: 1,
});

/** Where a run's journals are. */
export function journalsOf(dir: string): JournalFolder {
  const labs = join(dir, JOURNALS, TENANT);
  const lab = existsSync(labs) ? readdirSync(labs)[0] : undefined;
  if (lab === undefined) throw new Error(`${dir}: there are no journals. Is it the folder of a run?`);
  return new JournalFolder({ ...configOf(dir, 'process', true), lab });
}

/** Makes the folder of a new run. It must not hold anything yet. */
export function makeRunFolder(dir: string): void {
  if (existsSync(dir) && readdirSync(dir).length > 0)
    throw new Error(`${dir}: is not empty. Name a folder that does not exist yet, or remove this one.`);
  mkdirSync(dir, { recursive: true, mode: 0o700 });
}

/** Seals the journals and says what the run was. Mode `none` leaves nothing to seal and is refused. */
export function writeManifest(dir: string, meta: RunMeta, end: RunEnd): Promise<void> {
  const journals = journalsOf(dir);
  const actors = end.actors.map((a) => ({ ...a, journal: sealJournal(journals.file(a.address)) }));
  const manifest: Manifest = { format: FORMAT, ...meta, actors };
  writeFileSync(join(dir, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`, { mode: 0o600 });
  return Promise.resolve();
}

export function readManifest(dir: string): Manifest {
  const file = join(dir, MANIFEST);
  if (!existsSync(file)) throw new Error(`${dir}: there is no ${MANIFEST}. Is it the folder of a run that has ended?`);
  let parsed: Partial<Manifest>;
  try {
    parsed = JSON.parse(readFileSync(file, 'utf8')) as Partial<Manifest>;
  } catch (e) {
    throw new Error(`${file}: is not JSON (${(e as Error).message})`, { cause: e });
  }
  if (parsed.format !== FORMAT)
    throw new Error(`${file}: has format ${String(parsed.format)}, this program reads ${FORMAT}`);
  if (!Array.isArray(parsed.actors) || parsed.actors.some((a) => !isSealed(a)))
    throw new Error(`${file}: field 'actors' does not hold the ends of the journals`);
  return parsed as Manifest;
}

const isSealed = (a: Partial<SealedActor>): boolean =>
  typeof a.address === 'string' &&
  typeof a.stateHash === 'string' &&
  typeof a.journalHash === 'string' &&
  typeof a.journal?.sha256 === 'string';
