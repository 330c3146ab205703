/**
 * Many hosts, one after another and side by side, on one set of service processes on NATS.
 *
 * Words: every process has a *home* host, which stays empty here and is how the process is reached; hosts come and go
 * beside it.
 * Rule: nothing is kept: a host that has ended leaves nothing behind, and a process that was lost ends the lab.
 */
import { randomBytes } from 'node:crypto';
import type { Environment, RunEnd } from '@vfiolab/scenario';
import { type BusEvent, NatsBus, type ShellConfig, startNatsServer } from '@vfiolab/shell';
import { LAB } from '@vfiolab/core';
import { problemsOf, statesOf } from './attach.js';
import { NatsEnvironment } from './nats-environment.js';
import { devicesOf, PROCESSES, ServiceProcesses } from './service-processes.js';

export interface NatsLab {
  /** A host without a machine yet. Rejects when there are as many as the lab was started for. */
  newHost(): Promise<Environment>;
  /** Rejects when a process of the lab, or its server for long, is lost: nothing more will be answered then. */
  readonly lost: Promise<never>;
  /** Process id of a service: for fault injection. */
  pidOf(service: string): number | undefined;
  /** Ends all processes, and the server when it is ours. */
  end(): Promise<void>;
}

export interface NatsLabOptions {
  /** `auto`: a server of our own on loopback. */
  readonly url: string;
  /** Hosts at the same time. */
  readonly hosts: number;
  /** How long the server may take for the first answer, ms. */
  readonly connectMs?: number;
}

const CONNECT_MS = 3000;
/** A server that is gone for longer than this does not come back, ms. */
const GONE_MS = 10_000;
/** Serving a host starts its actors, which wait for the lab's word. */
const SERVE_MS = 30_000;

/** Throws when it cannot begin: no server, no build, or a service that does not come up. */
export async function startNatsLab({ url, hosts, connectMs = CONNECT_MS }: NatsLabOptions): Promise<NatsLab> {
  const server = url === 'auto' ? await startNatsServer() : undefined;
  const loss = new Loss();
  const config = configOf(server?.url ?? url, hosts);
  const processes = new ServiceProcesses(config, loss.tell);
  const closing = [() => processes.stopAll(), () => server?.stop()];
  const close = async (): Promise<void> => {
    for (const each of closing) await each();
  };
  try {
    const bus = await NatsBus.connect({
      ...config,
      url: config.nats!,
      name: 'vfiolab lab',
      connectMs,
      onEvent: loss.onEvent,
    });
    closing.splice(1, 0, () => bus.close());
    await processes.startAll();
    return new Lab(bus, processes, loss, close);
  } catch (e) {
    await close();
    throw e;
  }
}

class Lab implements NatsLab {
  readonly lost: Promise<never>;
  private readonly open = new Set<NatsEnvironment>();
  private made = 0;
  /** Why there is nothing to be had from this lab any more. */
  private over: Error | undefined;

  constructor(
    private readonly bus: NatsBus,
    private readonly processes: ServiceProcesses,
    private readonly loss: Loss,
    private readonly close: () => Promise<void>,
  ) {
    this.lost = loss.promise;
    this.lost.catch((why: Error) => this.abandon(why));
  }

  async newHost(): Promise<Environment> {
    const { bus } = this;
    const host = `h${++this.made}`;
    // The others register with the lab service.
    await this.tell(LAB, 'serve', host);
    await Promise.all(
      PROCESSES.filter((service) => service !== LAB).map((service) => this.tell(service, 'serve', host)),
    );
    const environment: NatsEnvironment = new NatsEnvironment(bus.forHost(host), {
      devices: () => devicesOf(bus, host),
      crash: undefined,
      ask: (service, pattern, data) => bus.control(service, pattern, { ...data, host }),
      mended: () => Promise.resolve(),
      end: () => {
        this.open.delete(environment);
        return this.release(host);
      },
    });
    this.open.add(environment);
    if (this.over) this.abandon(this.over);
    return environment;
  }

  pidOf(service: string): number | undefined {
    return this.processes.pidOf(service);
  }

  private tell(service: string, what: 'serve' | 'release', host: string): Promise<unknown> {
    return this.bus.control(service, what, { host }, SERVE_MS);
  }

  private async release(host: string): Promise<RunEnd> {
    const states = await statesOf(this.bus, host);
    await Promise.all(PROCESSES.map((service) => this.tell(service, 'release', host)));
    return { actors: [], broken: states.flatMap(problemsOf) };
  }

  private abandon(why: Error): void {
    this.over = why;
    for (const environment of this.open) environment.abandon(why);
    this.open.clear();
  }

  async end(): Promise<void> {
    this.abandon(new Error('the lab has ended'));
    this.loss.end();
    await this.close();
  }
}

/** The lab's name is new, so that labs on one server do not meet. */
const configOf = (nats: string, hosts: number): ShellConfig => ({
  tenant: 'default',
  lab: `lab-${randomBytes(6).toString('hex')}`,
  host: 'home',
  nats,
  data: undefined,
  durability: 'none',
  record: false,
  hosts: hosts + 1,
});

/** Notices that the lab cannot go on. */
class Loss {
  readonly promise: Promise<never>;
  private reject: (error: Error) => void = () => undefined;
  private timer: NodeJS.Timeout | undefined;

  constructor() {
    this.promise = new Promise((_resolve, reject) => (this.reject = reject));
    // It may come before anybody asks for it.
    this.promise.catch(() => undefined);
  }

  readonly tell = (error: Error): void => this.reject(error);

  readonly onEvent = ({ kind }: BusEvent): void => {
    if (kind !== 'disconnected' && kind !== 'connected') return;
    clearTimeout(this.timer);
    if (kind === 'disconnected')
      this.timer = setTimeout(
        () => this.tell(new Error(`the NATS server has been gone for ${GONE_MS / 1000} s`)),
        GONE_MS,
      );
  };

  end(): void {
    clearTimeout(this.timer);
  }
}
