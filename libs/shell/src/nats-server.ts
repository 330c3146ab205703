/**
 * A NATS server of our own: on loopback, on a free port, in a folder that goes away with it.
 *
 * Rule: it ends with the process that started it. Only a SIGKILL of that process, which nothing can catch, leaves it behind.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { MAX_FRAME } from '@vfiolab/core';
import { atExit } from './at-exit.js';

export interface NatsServer {
  /** `nats://127.0.0.1:<port>` */
  readonly url: string;
  readonly pid: number;
  /** Resolves when it has ended, however. */
  readonly gone: Promise<void>;
  /** Has it follow other lines of configuration than those that it was started with. */
  reload(config: string): void;
  /** SIGKILL, without a farewell: for fault injection. */
  kill(): Promise<void>;
  /** Ends it and removes its folder. */
  stop(): Promise<void>;
}

export interface NatsServerOptions {
  /** Default: a free one. */
  readonly port?: number;
  /** More lines for its configuration, such as users and permissions. */
  readonly config?: string;
  /** Folders to look for the binary in; default PATH and /usr/sbin. */
  readonly folders?: readonly string[];
}

const START_MS = 10_000;

/** PATH, and where Debian puts servers, which is not in everybody's PATH. */
const searched = (): string[] => [...(process.env.PATH ?? '').split(delimiter).filter((f) => f !== ''), '/usr/sbin'];

/** Where the binary is, or undefined. */
export function findNatsServer(folders: readonly string[] = searched()): string | undefined {
  return folders.map((f) => join(f, 'nats-server')).find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

export async function startNatsServer(options: NatsServerOptions = {}): Promise<NatsServer> {
  const binary = findNatsServer(options.folders);
  if (!binary)
    throw new Error(
      'nats-server is not installed (neither in PATH nor in /usr/sbin). Install it with: apt-get install nats-server',
    );
  const port = options.port ?? (await freePort());
  const dir = mkdtempSync(join(tmpdir(), 'vfiolab-nats-'));
  const config = join(dir, 'nats.conf');
  const write = (lines: string): void =>
    writeFileSync(config, `host: 127.0.0.1\nport: ${port}\nmax_payload: ${MAX_FRAME + 48_576}\n${lines}\n`);
  write(options.config ?? '');
  const child = spawn(binary, ['-c', config], { stdio: ['ignore', 'ignore', 'pipe'] });
  const end = (): void => void child.kill('SIGKILL');
  const forget = atExit(end);
  const gone = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const finish = async (signal: NodeJS.Signals): Promise<void> => {
    child.kill(signal);
    await gone;
    forget();
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    await ready(child);
  } catch (e) {
    await finish('SIGKILL');
    throw e;
  }
  return {
    url: `nats://127.0.0.1:${port}`,
    pid: child.pid!,
    gone,
    reload: (lines) => {
      write(lines);
      child.kill('SIGHUP');
    },
    kill: () => finish('SIGKILL'),
    stop: () => finish('SIGTERM'),
  };
}

/** Waits for the line with which the server says that it listens; its log goes on being read, so that it never blocks. */
function ready(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let log = '';
    const timer = setTimeout(() => reject(new Error(`nats-server did not start in ${START_MS} ms:\n${log}`)), START_MS);
    const settle = (done: () => void): void => {
      clearTimeout(timer);
      done();
    };
    child.stderr!.on('data', (chunk: Buffer) => {
      log = (log + chunk.toString()).slice(-4000);
      if (log.includes('Server is ready')) settle(resolve);
    });
    child.once('error', (e) => settle(() => reject(e)));
    child.once('close', (code) => settle(() => reject(new Error(`nats-server ended with ${code}:\n${log}`))));
  });
}

/** A port of loopback that nobody has right now. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number };
      probe.close(() => resolve(port));
    });
  });
}
