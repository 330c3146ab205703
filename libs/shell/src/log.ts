/**
 * What a service's process says: for people, or one JSON object a line for programs that collect logs.
 *
 * Rule: what went as it should goes to stdout, everything else to stderr. A line is a line: what others wrote in it cannot
 * begin another one.
 */
export const LOG_FORMATS = ['text', 'json'] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];
export type Level = 'info' | 'warning' | 'error';

export interface LogPorts {
  now(): Date;
  out(line: string): void;
  err(line: string): void;
}

const CONSOLE: LogPorts = { now: () => new Date(), out: (l) => console.log(l), err: (l) => console.error(l) };

export class Log {
  constructor(
    private readonly service: string,
    private readonly format: LogFormat,
    private readonly ports: LogPorts = CONSOLE,
  ) {}

  /** `facts`: what programs may want to search for, such as the host. People read `text` alone. */
  say(level: Level, text: string, facts: Readonly<Record<string, string>> = {}): void {
    const { now, out, err } = this.ports;
    const write = level === 'info' ? out : err;
    if (this.format === 'text') write(`${this.service}: ${text}`);
    else write(JSON.stringify({ time: now().toISOString(), level, service: this.service, text, ...facts }));
  }
}
