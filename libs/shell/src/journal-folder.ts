/**
 * The journals of one host, in one folder.
 *
 * Rule: `<data>/<tenant>/<lab>/<host>/<address>.db`; the name of a file is the address of its actor.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Address, isAddress, type JournalPort, serviceOf } from '@vfiolab/core';
import { openJournal } from './sqlite-journal.js';
import type { ShellConfig } from './shell-config.js';

const ENDING = '.db';

export class JournalFolder {
  /** Undefined when nothing is kept. */
  readonly path: string | undefined;

  constructor(private readonly config: ShellConfig) {
    const { data, tenant, lab, host, durability } = config;
    this.path = data === undefined || durability === 'none' ? undefined : join(data, tenant, lab, host);
  }

  /** The file of an actor's journal; empty when nothing is kept. */
  file(actor: Address): string {
    return this.path === undefined ? '' : join(this.path, actor + ENDING);
  }

  readonly open = (actor: Address): Promise<JournalPort> => {
    const { durability: mode, record } = this.config;
    const file = this.file(actor);
    return openJournal({ file, actor, mode: file === '' ? 'none' : mode, record });
  };

  /** The actors of a service whose journal exists, sorted. */
  known(service: string): Address[] {
    if (this.path === undefined || !existsSync(this.path)) return [];
    const names = readdirSync(this.path).filter((n) => n.endsWith(ENDING));
    return names
      .map((n) => n.slice(0, -ENDING.length))
      .filter((a) => isAddress(a) && serviceOf(a) === service)
      .sort();
  }
}
