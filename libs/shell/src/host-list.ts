/**
 * Which hosts a service's process serves besides its home, on disk: so that it serves them again after a crash.
 *
 * Rule: `<data>/<tenant>/<lab>/<host>/<service>.serving` is there before the host is served, and goes after it was let go
 * of. The journals beside it stay: a host that is served again goes on where it was.
 */
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { isToken } from './nats-subjects.js';
import type { ShellConfig } from './shell-config.js';

const ENDING = '.serving';

export class HostList {
  /** The folder of the lab; undefined when nothing is kept. */
  private readonly lab: string | undefined;

  constructor(
    private readonly config: ShellConfig,
    private readonly service: string,
  ) {
    const { data, tenant, lab, durability } = config;
    this.lab = data === undefined || durability === 'none' ? undefined : join(data, tenant, lab);
  }

  add(host: string): void {
    if (this.lab === undefined) return;
    const folder = join(this.lab, host);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.sync(openSync(join(folder, this.service + ENDING), 'w', 0o600));
    this.sync(openSync(folder, 'r'));
  }

  remove(host: string): void {
    if (this.lab === undefined) return;
    rmSync(join(this.lab, host, this.service + ENDING), { force: true });
  }

  /** Hosts on the list, sorted. */
  all(): string[] {
    const { lab } = this;
    if (lab === undefined || !existsSync(lab)) return [];
    return readdirSync(lab)
      .filter((host) => isToken(host) && existsSync(join(lab, host, this.service + ENDING)))
      .sort();
  }

  /** Loss of power may take only what was not promised. */
  private sync(fd: number): void {
    if (this.config.durability === 'power') fsyncSync(fd);
    closeSync(fd);
  }
}
