/** A terminal that remembers what was printed. */
import { Terminal } from '../terminal.js';

export class FakeTerminal extends Terminal {
  readonly written: { out: string; err: string };

  constructor({ tty = false, env = {} }: { tty?: boolean; env?: Record<string, string> } = {}) {
    const written = { out: '', err: '' };
    super({
      stdout: { isTTY: tty, columns: 60, write: (text) => (written.out += text) },
      stderr: { isTTY: tty, columns: 40, write: (text) => (written.err += text) },
      env,
    });
    this.written = written;
  }
}
