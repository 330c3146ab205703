/** The fault plan of one host's actors, on disk while there is one: a process that it kills goes on with it. */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { EdgeState, FaultEdge } from '@vfiolab/core';

export class FaultStore {
  constructor(private readonly file: string) {}

  /** Puts the plan that there was into `plan`. One that cannot be read is no part of the lab's state, and is forgotten. */
  restore(plan: FaultEdge): void {
    if (!existsSync(this.file)) return;
    try {
      plan.restore(JSON.parse(readFileSync(this.file, 'utf8')) as EdgeState);
    } catch {
      plan.clear();
    }
  }

  save(state: EdgeState): void {
    if (state.rules.length === 0 && state.refused.length === 0) return rmSync(this.file, { force: true });
    mkdirSync(dirname(this.file), { recursive: true, mode: 0o700 });
    const next = `${this.file}.new`;
    writeFileSync(next, JSON.stringify(state), { mode: 0o600 });
    renameSync(next, this.file);
  }
}
