/**
 * The /sys of a lab's host as a real directory, for tools that read one: lspci, lstopo, scripts.
 *
 * Words: the *tree* is `OUT/sys`; `OUT/bus`, `OUT/class` and so on lead into it, so that OUT can be given both as a machine's
 * root and as its /sys.
 * Rule: nothing outside of OUT is written, and nothing in it that was there before, unless an export made it: its mark tells.
 * What has not changed since the last update is not written again.
 */
import { existsSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Process } from '@vfiolab/client';
import { type Environment, OPERATOR } from '@vfiolab/scenario';

const MARK = '.vfiolab-sysfs';
/** What is shown of /sys. */
const PARTS = ['bus', 'class', 'devices', 'kernel', 'module'];
/** The client that reads; no process of a scenario may be taken for it. */
const READER = `${OPERATOR}-sysfs`;
/** Files, links and directories of a tree at most. */
const MAX_ENTRIES = 200_000;

/** A directory, where a link leads, or what is in a file. */
type Entry = { readonly dir: true } | { readonly link: string } | { readonly file: Uint8Array };

export interface SysfsUpdate {
  readonly entries: number;
  readonly changed: number;
}

/** Where an export can be put: a path that is free, an empty folder, or an earlier export. Else what is wrong. */
export function sysfsTarget(out: string): string | undefined {
  if (!existsSync(out) || existsSync(join(out, MARK))) return undefined;
  try {
    return readdirSync(out).length === 0 ? undefined : `${out} is not empty, and no export of vfiolab made it`;
  } catch {
    return `${out} is no folder`;
  }
}

/** An export of the host that runs in an environment, read by a process of its own. */
export async function exportSysfs(environment: Environment, out: string): Promise<SysfsExport> {
  const process = new Process(READER, environment.link(READER));
  const started = await process.start();
  if (!started.ok) throw new Error(`the process that reads /sys could not be started: ${started.errno}`);
  const made = new SysfsExport(process, out);
  made.begin();
  return made;
}

export class SysfsExport {
  /** By path below OUT, as they are on disk. */
  private known = new Map<string, Entry>();

  /** `process`: one of the lab that reads the tree; root, to see all of it. */
  constructor(
    private readonly process: Process,
    private readonly out: string,
  ) {}

  /** Begins anew: an earlier export in the same place goes. Throws where `sysfsTarget` names a reason. */
  begin(): void {
    const wrong = sysfsTarget(this.out);
    if (wrong !== undefined) throw new Error(wrong);
    rmSync(this.out, { recursive: true, force: true });
    mkdirSync(join(this.out, 'sys'), { recursive: true });
    writeFileSync(join(this.out, MARK), 'An export of vfiolab. The next export here replaces it.\n');
    for (const part of PARTS) symlinkSync(join('sys', part), join(this.out, part));
    this.known = new Map();
  }

  /** Makes the directory like the host's /sys of now. */
  async update(): Promise<SysfsUpdate> {
    const now = new Map<string, Entry>();
    for (const part of PARTS) await this.read(`/sys/${part}`, now);
    let changed = 0;
    for (const path of [...this.known.keys()].reverse())
      if (!sameKind(this.known.get(path)!, now.get(path))) {
        rmSync(join(this.out, path), { recursive: true, force: true });
        changed++;
      }
    for (const [path, entry] of now) if (this.write(path, entry)) changed++;
    this.known = now;
    return { entries: now.size, changed };
  }

  private async read(path: string, into: Map<string, Entry>): Promise<void> {
    const found = await this.process.sysfsScan(path);
    // It may have gone since its parent was read.
    if (!found.ok) return;
    into.set(path, { dir: true });
    for (const { name, kind, data } of found.value) {
      if (into.size >= MAX_ENTRIES) throw new Error(`the host's /sys has more than ${MAX_ENTRIES} entries`);
      const at = `${path}/${name}`;
      if (!isPlain(name)) continue;
      if (kind === 'dir') await this.read(at, into);
      else into.set(at, kind === 'link' ? { link: Buffer.from(data).toString() } : { file: data });
    }
  }

  /** True: it was not there, or another. */
  private write(path: string, entry: Entry): boolean {
    const had = this.known.get(path);
    if (had && same(had, entry)) return false;
    const at = join(this.out, path);
    if ('dir' in entry) mkdirSync(at);
    else if ('file' in entry) writeFileSync(at, entry.file);
    else {
      rmSync(at, { force: true });
      symlinkSync(entry.link, at);
    }
    return true;
  }
}

const isPlain = (name: string): boolean => name !== '' && name !== '.' && name !== '..' && !name.includes('/');

const kindOf = (entry: Entry): string => Object.keys(entry)[0]!;
const sameKind = (had: Entry, now: Entry | undefined): boolean => now !== undefined && kindOf(had) === kindOf(now);

function same(a: Entry, b: Entry): boolean {
  if ('file' in a && 'file' in b) return Buffer.compare(a.file, b.file) === 0;
  if ('link' in a && 'link' in b) return a.link === b.link;
  return 'dir' in a && 'dir' in b;
}
