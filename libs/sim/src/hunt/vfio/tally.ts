/** What a run did, and what was wrong. Rule: the first findings are kept, the others counted. */
import type { Errno } from '@vfiolab/uapi';

const MOST = 20;

export class Tally {
  readonly findings: string[] = [];
  /** How often each ioctl was answered how: `name errno`, `name ok`. */
  readonly answers = new Map<string, number>();
  readonly moves = new Map<string, number>();
  /** DMA whose outcome was foretold. */
  foretold = 0;
  /** Moments at which nothing was under way anywhere, and services were compared. */
  quiet = 0;

  find(what: string): void {
    if (this.findings.length < MOST && !this.findings.includes(what)) this.findings.push(what);
  }

  answered(name: string, errno: Errno | undefined): void {
    const key = `${name} ${errno ?? 'ok'}`;
    this.answers.set(key, (this.answers.get(key) ?? 0) + 1);
  }

  moved(name: string): void {
    this.moves.set(name, (this.moves.get(name) ?? 0) + 1);
  }

  get calls(): number {
    return [...this.answers.values()].reduce((sum, n) => sum + n, 0);
  }

  get refused(): number {
    return [...this.answers].reduce((sum, [key, n]) => sum + (key.endsWith(' ok') ? 0 : n), 0);
  }
}
