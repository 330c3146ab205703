/**
 * One instance of the services of a lab that stays: a set of processes that is kept alive.
 *
 * Rule: a process that ends by itself is started again, later and later while it keeps ending; its journals bring back
 * what it knew. The *home* host of the processes has the instance's name, and stays empty.
 */
import { NatsBus, type ShellConfig } from '@vfiolab/shell';
import { ServiceProcesses } from '../service-processes.js';

export interface ProcessStatus {
  readonly service: string;
  readonly pid: number | undefined;
  readonly running: boolean;
  /** How often it was started again. */
  readonly restarts: number;
  /** Why it ended the last time. */
  readonly lastEnd: string | undefined;
}

const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 10_000;
/** Who lived as long as this is started again at once, ms. */
const LIVED_MS = 30_000;

export class Instance {
  /** The connection on which its processes answer operators: they answer to the inbox of their home alone. */
  private connected: NatsBus | undefined;
  private readonly processes: ServiceProcesses;
  private readonly ends = new Map<string, { restarts: number; why: string; waitMs: number; at: number }>();
  private readonly timers = new Set<NodeJS.Timeout>();
  private stopped = false;

  private constructor(
    readonly config: ShellConfig,
    readonly services: readonly string[],
    keyOf: (service: string) => string | undefined,
  ) {
    this.processes = new ServiceProcesses(config, (error, service) => this.lost(error, service), services, keyOf);
  }

  get bus(): NatsBus {
    return this.connected!;
  }

  get name(): string {
    return this.config.host;
  }

  /** Rejects, with nothing left running, when there is no server or a process does not come up. */
  static async start(
    config: ShellConfig,
    services: readonly string[],
    keyOf: (service: string) => string | undefined,
  ): Promise<Instance> {
    const instance = new Instance(config, services, keyOf);
    try {
      instance.connected = await NatsBus.connect({ ...config, url: config.nats!, name: `vfiolab up ${config.host}` });
      await instance.processes.startAll();
      return instance;
    } catch (e) {
      await instance.stop();
      throw e;
    }
  }

  private lost(error: Error, service: string): void {
    if (this.stopped) return;
    const last = this.ends.get(service);
    const now = Date.now();
    const waitMs = last && now - last.at < LIVED_MS ? Math.min(last.waitMs * 2, LONGEST_WAIT_MS) : FIRST_WAIT_MS;
    const why = error.message.split('\n', 1)[0]!;
    this.ends.set(service, { restarts: (last?.restarts ?? 0) + 1, why, waitMs, at: now });
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      // When it does not come up either, it has been lost again.
      this.processes.start(service).catch(() => undefined);
    }, waitMs);
    this.timers.add(timer);
  }

  status(): ProcessStatus[] {
    return this.services.map((service) => {
      const end = this.ends.get(service);
      const pid = this.processes.pidOf(service);
      return {
        service,
        pid,
        running: this.processes.isRunning(service),
        restarts: end?.restarts ?? 0,
        lastEnd: end?.why,
      };
    });
  }

  async stop(): Promise<void> {
    this.stopped = true;
    for (const timer of this.timers) clearTimeout(timer);
    await this.processes.stopAll();
    await this.connected?.close();
  }
}
