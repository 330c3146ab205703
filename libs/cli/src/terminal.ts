/**
 * What is printed, and how.
 *
 * Rule: results go to stdout, everything else to stderr. Colours and progress appear only where somebody looks: on a
 * terminal, and colours not when NO_COLOR is set. Long runs also leave a line now and then for who looks later.
 */

interface Stream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

export interface TerminalPorts {
  readonly stdout: Stream;
  readonly stderr: Stream;
  readonly env: Readonly<Record<string, string | undefined>>;
}

const CODES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const;
export type Style = keyof typeof CODES;

const WIDEST = 110;
const NARROWEST = 40;
const DEFAULT_WIDTH = 100;
/** Between two lines of a long run's progress where no terminal is, ms. */
const PROGRESS_EVERY_MS = 30_000;

export class Terminal {
  private readonly colours: boolean;
  private shown = false;
  private lastLine: number | undefined;

  constructor(private readonly ports: TerminalPorts) {
    const { stdout, env } = ports;
    this.colours = stdout.isTTY === true && !env['NO_COLOR'] && env['TERM'] !== 'dumb';
  }

  /** Columns for running text. */
  get width(): number {
    return Math.max(NARROWEST, Math.min(WIDEST, this.ports.stdout.columns ?? DEFAULT_WIDTH));
  }

  style(style: Style, text: string): string {
    return this.colours ? `\x1b[${CODES[style]}m${text}\x1b[0m` : text;
  }

  out(text = ''): void {
    this.clear();
    this.ports.stdout.write(`${text}\n`);
  }

  error(text: string): void {
    this.clear();
    this.ports.stderr.write(`${text}\n`);
  }

  json(value: unknown): void {
    this.out(JSON.stringify(value));
  }

  /** One line that the next output replaces; nothing where nobody looks. */
  progress(text: string): void {
    const { stderr } = this.ports;
    if (stderr.isTTY !== true) return;
    stderr.write(`\r\x1b[K${text.slice(0, (stderr.columns ?? 80) - 1)}`);
    this.shown = true;
  }

  /** The same for what may take hours: where no terminal is, a line of its own now and then. `now`: ms of any clock. */
  longProgress(text: string, now: number): void {
    this.lastLine ??= now;
    if (this.ports.stderr.isTTY === true) return this.progress(text);
    if (now - this.lastLine < PROGRESS_EVERY_MS) return;
    this.lastLine = now;
    this.error(text);
  }

  clear(): void {
    if (this.shown) this.ports.stderr.write('\r\x1b[K');
    this.shown = false;
  }

  /** Text in lines of the terminal's width, each after `indent`; words longer than a line stay whole. */
  wrap(text: string, indent: string, first = indent): string {
    const lines: string[] = [];
    let line = first;
    let empty = true;
    for (const word of text.split(/\s+/).filter((each) => each !== '')) {
      if (!empty && line.length + 1 + word.length > this.width) {
        lines.push(line);
        [line, empty] = [indent, true];
      }
      line += empty ? word : ` ${word}`;
      empty = false;
    }
    return [...lines, line].join('\n');
  }
}
