/**
 * Many hosts, one after another and side by side, on one set of service processes on NATS.
 *
 * Words: every process has a *home* host, which stays empty here and is how the process is reached; hosts come and go
 * beside it.
 * Rule: nothing is kept: a host that has ended leaves nothing behind, and a process that was lost ends the lab.
 */
import { randomBytes } from 'node:crypto';
import type { Environment, RunEnd } from '@vfiolab/scenario';
import { type ActorStatus, type BusEvent, NatsBus, type ShellConfig, startNatsServer } from '@vfiolab/shell';
import { LAB } from '@vfiolab/core';
import { NatsEnvironment } from './nats-environment.js';
import { devicesOf, PROCESSES, ServiceProcesses } from './service-processes.js';

export interface NatsLab {
  /** A host without a machine yet. Rejects when there are as many as the lab was started for. */
  newHost(): Promise<Environment>;
  /** Rejects when a process of the lab, or its server for long, is lost: nothing more will be answered then. */
  readonly lost: Promise<never>;
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
  const config = configOf(server?.url ?? url, hosts);
  const loss = new Loss();
  const processes = new ServiceProcesses(config, loss.tell);
  let bus: NatsBus | undefined;
  const end = async (): Promise<void> => {
    loss.end();
    await processes.stopAll();
    await bus?.close();
    await server?.stop();
  };
  try {
    bus = await NatsBus.connect({
      ...config,
      url: config.nats!,
      name: 'vfiolab lab',
      connectMs,
      onEvent: loss.onEvent,
    });
    await processes.startAll();
  } catch (e) {
    await end();
    throw e;
  }
  const connected = bus;
  let made = 0;
  return { newHost: () => newHost(connected, `h${++made}`), lost: loss.promise, end };
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

async function newHost(bus: NatsBus, host: string): Promise<Environment> {
  const tell = (service: string, what: 'serve' | 'release'): Promise<unknown> =>
    bus.control(service, what, { host }, SERVE_MS);
  // The others register with the lab.
  await tell(LAB, 'serve');
  const others = PROCESSES.filter((service) => service !== LAB);
  await Promise.all(others.map((service) => tell(service, 'serve')));
  return new NatsEnvironment(bus.forHost(host), {
    devices: () => devicesOf(bus, host),
    crash: undefined,
    end: async (): Promise<RunEnd> => {
      const states = await Promise.all(PROCESSES.map((service) => bus.control(service, 'status', { host })));
      await Promise.all(PROCESSES.map((service) => tell(service, 'release')));
      return { actors: [], broken: (states.flat() as ActorStatus[]).flatMap(problemsOf) };
    },
  });
}

const problemsOf = ({ address, state, broken }: ActorStatus): string[] =>
  state === 'serving' ? [...broken] : [`${address} is ${state}`, ...broken];

/** Notices that the lab cannot go on. */
class Loss {
  readonly promise: Promise<never>;
  private reject: (error: Error) => void = () => undefined;
  private timer: NodeJS.Timeout | undefined;

  constructor() {
    this.promise = new Promise((_resolve, reject) => (this.reject = reject));
    // Whoever does not ask need not hear of it.
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
