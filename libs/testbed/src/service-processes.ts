/**
 * The processes of the services, each one of them started from its build.
 *
 * Rule: none outlives this process; what one says on stderr is kept for error messages.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Address } from '@vfiolab/core';
import { SERVICES } from '@vfiolab/host';
import { type ActorStatus, atExit, KILLED, type NatsBus, type ShellConfig } from '@vfiolab/shell';

/** All services, each in its process. */
export const PROCESSES: readonly string[] = [...SERVICES.map(String), 'device'];
/** Seven processes that start at once on a busy machine take their time. */
const READY_MS = 60_000;
const STOP_MS = 10_000;
/** Pieces of what the processes said that are kept. */
const MAX_COMPLAINTS = 100;

export class ServiceProcesses {
  private readonly running = new Map<string, ChildProcess>();
  private readonly complaints: string[] = [];
  /** Those whose end was asked for. */
  private readonly dismissed = new Set<ChildProcess>();
  /** Killed by a fault plan: how long they stay away, ms. */
  private readonly killed = new Map<ChildProcess, number>();
  private readonly mending = new Set<Promise<void>>();
  private readonly forget: () => void;
  private stopping = false;

  /** `onLost` hears of a process that has ended by itself. */
  constructor(
    private readonly config: ShellConfig,
    private readonly onLost: (error: Error, service: string) => void = () => undefined,
    private readonly services: readonly string[] = PROCESSES,
    /** File with the seed of a service's key; undefined: the server asks for none. */
    private readonly keyOf: (service: string) => string | undefined = () => undefined,
  ) {
    this.forget = atExit(() => this.killAll());
  }

  async startAll(): Promise<void> {
    await Promise.all(this.services.map((service) => this.start(service)));
  }

  /** Resolves when the process says that it is ready. */
  start(service: string): Promise<void> {
    const main = fileURLToPath(new URL(`../../../services/${service}/dist/main.js`, import.meta.url));
    if (!existsSync(main)) throw new Error(`${main} is missing: run npm run build`);
    const child = spawn(process.execPath, ['--no-warnings', main], {
      env: this.environment(service),
      // It ends when this pipe does: even SIGKILL of this process leaves none behind.
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.running.set(service, child);
    child.stderr.on('data', (chunk: Buffer) => this.complain(chunk.toString().trim()));
    return this.ready(service, child);
  }

  private complain(text: string): void {
    this.complaints.push(text);
    if (this.complaints.length > MAX_COMPLAINTS) this.complaints.shift();
  }

  private ready(service: string, child: ChildProcess): Promise<void> {
    return new Promise((resolve, reject) => {
      const tell = (what: string): Error =>
        new Error([`the ${service} service ${what}`, ...this.complaints].join('\n'));
      const timer = setTimeout(() => reject(tell(`was not ready after ${READY_MS} ms`)), READY_MS);
      child.stdout!.on('data', (chunk: Buffer) => {
        this.noteKilled(child, chunk.toString());
        if (!chunk.toString().includes('ready')) return;
        clearTimeout(timer);
        resolve();
      });
      // All that it said has been read by then.
      child.once('close', (code, signal) => {
        clearTimeout(timer);
        const error = tell(`ended with ${code === null ? signal : `code ${code}`}`);
        reject(error);
        if (this.dismissed.has(child)) return;
        const downMs = this.killed.get(child);
        if (downMs === undefined) this.onLost(error, service);
        else this.mend(service, downMs);
      });
    });
  }

  private noteKilled(child: ChildProcess, said: string): void {
    const ms = new RegExp(`${KILLED} (\\d+) ms`).exec(said)?.[1];
    if (ms !== undefined) this.killed.set(child, Number(ms));
  }

  private mend(service: string, downMs: number): void {
    const back = new Promise((resolve) => setTimeout(resolve, downMs)).then(() =>
      this.stopping ? undefined : this.start(service),
    );
    const mended: Promise<void> = back.catch((e: unknown) => this.onLost(e as Error, service));
    this.mending.add(mended);
    void mended.then(() => this.mending.delete(mended));
  }

  /** Resolves when every process that a fault plan has killed is ready again. */
  async mended(): Promise<void> {
    while (this.mending.size > 0) await Promise.all(this.mending);
  }

  pidOf(service: string): number | undefined {
    return this.running.get(service)?.pid;
  }

  isRunning(service: string): boolean {
    const child = this.running.get(service);
    return child !== undefined && child.exitCode === null && child.signalCode === null;
  }

  private environment(service: string): NodeJS.ProcessEnv {
    const { nats, tenant, lab, host, data, durability, record, hosts } = this.config;
    return {
      PATH: process.env.PATH,
      VFIOLAB_NATS: nats,
      VFIOLAB_NATS_KEY: this.keyOf(service),
      VFIOLAB_TENANT: tenant,
      VFIOLAB_LAB: lab,
      VFIOLAB_HOST: host,
      VFIOLAB_DATA: data,
      VFIOLAB_DURABILITY: durability,
      VFIOLAB_RECORD: record ? '1' : '0',
      VFIOLAB_HOSTS: String(hosts),
      VFIOLAB_LIFELINE: '1',
    };
  }

  /** SIGKILL, and waits until the process is gone. */
  async kill(service: string): Promise<void> {
    const child = this.running.get(service)!;
    this.dismissed.add(child);
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill('SIGKILL');
    await gone;
  }

  /** SIGTERM to all; whoever has not ended in time is killed. */
  async stopAll(): Promise<void> {
    if (this.stopping) return;
    this.stopping = true;
    for (const child of this.running.values()) this.dismissed.add(child);
    await Promise.all([...this.running.values()].map(stop));
    this.forget();
  }

  /** SIGKILL to all, without waiting. */
  killAll(): void {
    for (const child of this.running.values()) {
      this.dismissed.add(child);
      child.kill('SIGKILL');
    }
    this.forget();
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  await gone;
  clearTimeout(timer);
}

/** Actors of the devices that a host has, as the device service's process tells. */
export async function devicesOf(bus: NatsBus, host: string): Promise<Address[]> {
  const states = (await bus.control('device', 'status', { host })) as ActorStatus[];
  return states.map(({ address }) => address);
}
