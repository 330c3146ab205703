/**
 * A host with one process per service, on a NATS server.
 *
 * Words: a *crash* here is SIGKILL of the service's process, at the moment a frame is seen on the bus.
 * Rule: nothing is shared with the services but the bus and, after the end, their journals.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Address } from '@vfiolab/core';
import { clientAddress, serviceOf } from '@vfiolab/core';
import { Link } from '@vfiolab/client';
import { SERVICES } from '@vfiolab/host';
import type { CrashPlan, Environment, RunEnd } from '@vfiolab/scenario';
import { type Detach, NatsBus, parseFrameSubject, type ShellConfig, startNatsServer } from '@vfiolab/shell';
import { inspectActor } from './inspect.js';
import { endOfJournals } from './replay.js';
import { configOf, journalsOf, makeRunFolder } from './run-folder.js';
import type { StartOptions } from './embedded.js';
import { CrashTrigger } from './tap.js';

export interface NatsOptions extends StartOptions {
  /** `auto`: a server of our own on loopback. */
  readonly url: string;
  /** How long after the frame of a crash plan the process is killed, ms; default at once. Tests draw it at random. */
  readonly killDelay?: () => number;
}

/** All services, each in its process. */
const PROCESSES = [...SERVICES.map(String), 'device'];
const READY_MS = 30_000;
const STOP_MS = 10_000;

export async function startNats({
  dir,
  durability,
  record = true,
  url,
  killDelay = () => 0,
}: NatsOptions): Promise<Environment> {
  makeRunFolder(dir);
  const server = url === 'auto' ? await startNatsServer() : undefined;
  const config = configOf(dir, durability, record, server?.url ?? url);
  const processes = new ServiceProcesses(config);
  try {
    const bus = await NatsBus.connect({ ...config, url: config.nats!, name: 'vfiolab run' });
    const env = new NatsEnvironment(dir, durability !== 'none', bus, processes, killDelay, async () => {
      await bus.close();
      await server?.stop();
    });
    await processes.startAll();
    return env;
  } catch (e) {
    processes.killAll();
    await server?.stop();
    throw e;
  }
}

/** The services' processes. What one of them says on stderr is kept for error messages. */
class ServiceProcesses {
  private readonly running = new Map<string, ChildProcess>();
  readonly complaints: string[] = [];
  private stopping = false;

  constructor(private readonly config: ShellConfig) {
    process.once('exit', () => this.killAll());
  }

  async startAll(): Promise<void> {
    await Promise.all(PROCESSES.map((service) => this.start(service)));
  }

  /** Resolves when the process says that it is ready. */
  start(service: string): Promise<void> {
    const main = fileURLToPath(new URL(`../../../services/${service}/dist/main.js`, import.meta.url));
    if (!existsSync(main)) throw new Error(`${main} is missing: run npm run build`);
    const child = spawn(process.execPath, ['--no-warnings', main], {
      env: this.environment(),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.running.set(service, child);
    child.stderr.on('data', (chunk: Buffer) => this.complaints.push(chunk.toString().trim()));
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`${service} was not ready after ${READY_MS} ms\n${this.complaints.join('\n')}`)),
        READY_MS,
      );
      child.stdout.on('data', (chunk: Buffer) => {
        if (!chunk.toString().includes('ready')) return;
        clearTimeout(timer);
        resolve();
      });
      child.once('exit', (code) => {
        clearTimeout(timer);
        reject(new Error(`the ${service} service ended with code ${code}\n${this.complaints.join('\n')}`));
      });
    });
  }

  private environment(): NodeJS.ProcessEnv {
    const { nats, tenant, lab, host, data, durability, record } = this.config;
    return {
      PATH: process.env.PATH,
      VFIOLAB_NATS: nats,
      VFIOLAB_TENANT: tenant,
      VFIOLAB_LAB: lab,
      VFIOLAB_HOST: host,
      VFIOLAB_DATA: data,
      VFIOLAB_DURABILITY: durability,
      VFIOLAB_RECORD: record ? '1' : '0',
    };
  }

  /** SIGKILL, and waits until the process is gone. */
  async kill(service: string): Promise<void> {
    const child = this.running.get(service)!;
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill('SIGKILL');
    await gone;
  }

  /** SIGTERM to all; whoever has not ended in time is killed. */
  async stopAll(): Promise<void> {
    if (this.stopping) return;
    this.stopping = true;
    await Promise.all([...this.running.values()].map(stop));
  }

  killAll(): void {
    for (const child of this.running.values()) child.kill('SIGKILL');
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

class NatsEnvironment implements Environment {
  readonly mode = 'nats';
  private readonly links = new Map<string, { link: Link; timer: NodeJS.Timeout; detach: Detach }>();

  constructor(
    private readonly dir: string,
    private readonly keeps: boolean,
    private readonly bus: NatsBus,
    private readonly processes: ServiceProcesses,
    private readonly killDelay: () => number,
    private readonly close: () => Promise<void>,
  ) {}

  link(name: string): Link {
    const known = this.links.get(name);
    if (known) return known.link;
    const address = clientAddress(name);
    const link = new Link({ now: Date.now, sleep, send: (to, frame) => this.bus.send(address, to, frame) });
    const detach = this.bus.attach(address, (from, frame) => link.receive(from, frame));
    const timer = setInterval(() => link.tick(), 20);
    timer.unref();
    this.links.set(name, { link, timer, detach });
    return link;
  }

  /** Listens to everything said to and by the service; kills its process when the plan's frame passes. */
  crash(plan: CrashPlan): Promise<void> {
    if (!this.keeps) throw new Error('durability none keeps no journal: a killed service would come back empty');
    const trigger = new CrashTrigger(plan);
    const { connection, scope } = this.bus;
    const depth = scope.split('.').length;
    return new Promise((resolve, reject) => {
      const tap = connection.subscribe(`${scope}.*.*.*.*`, {
        callback: (error, msg) => {
          if (error) return reject(error);
          const { to, from } = parseFrameSubject(msg.subject, depth);
          if (!trigger.see(from, to, msg.data)) return;
          tap.unsubscribe();
          this.killAndRevive(plan).then(resolve, reject);
        },
      });
    });
  }

  private async killAndRevive({ service, downMs }: CrashPlan): Promise<void> {
    await sleep(this.killDelay());
    await this.processes.kill(serviceOf(service));
    await sleep(downMs);
    await this.processes.start(serviceOf(service));
  }

  inspect(address: Address): ReturnType<Environment['inspect']> {
    return inspectActor(this.link('operator'), address);
  }

  actors(): Promise<Address[]> {
    // Devices have an actor each, made when they are needed: their journals tell which there are.
    const devices = this.keeps ? journalsOf(this.dir).known('device') : [];
    return Promise.resolve([...SERVICES, ...devices].sort());
  }

  /** Stops the processes in order; where their journals ended, and in what state, a replay of them tells. */
  async end(): Promise<RunEnd> {
    await this.quiet();
    for (const { timer, detach } of this.links.values()) {
      clearInterval(timer);
      detach();
    }
    await this.processes.stopAll();
    await this.close();
    return this.keeps ? endOfJournals(this.dir, await this.actors()) : { actors: [], broken: [] };
  }

  /** Waits until no service has an operation in flight. */
  private async quiet(): Promise<void> {
    for (const address of await this.actors())
      while ((await inspectActor(this.link('operator'), address)).busy > 0) await sleep(20);
  }
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
