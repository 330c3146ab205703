/**
 * A host with one process per service, on a NATS server.
 *
 * Words: a *crash* here is SIGKILL of the service's process, at the moment a frame is seen on the bus.
 * Rule: nothing is shared with the services but the bus and, after the end, their journals.
 */
import { serviceOf } from '@vfiolab/core';
import { SERVICES } from '@vfiolab/host';
import type { CrashPlan, Environment, RunEnd } from '@vfiolab/scenario';
import { NatsBus, type ShellConfig, startNatsServer } from '@vfiolab/shell';
import { NatsEnvironment } from './nats-environment.js';
import { sleep } from './open-link.js';
import { endOfJournals } from './replay.js';
import { configOf, journalsOf, makeRunFolder } from './run-folder.js';
import type { StartOptions } from './embedded.js';
import { devicesOf, ServiceProcesses } from './service-processes.js';

export interface NatsOptions extends StartOptions {
  /** `auto`: a server of our own on loopback. */
  readonly url: string;
  /** How long after the frame of a crash plan the process is killed, ms; default at once. Tests draw it at random. */
  readonly killDelay?: () => number;
}

/** A paused process answers when it goes on. */
const ASK_MS = 60_000;

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
  const keeps = durability !== 'none';
  let opened: NatsBus | undefined;
  try {
    const bus = await NatsBus.connect({ ...config, url: config.nats!, name: 'vfiolab run' });
    opened = bus;
    await processes.startAll();
    const devices = (): Promise<string[]> =>
      keeps ? Promise.resolve(journalsOf(dir).known('device')) : devicesOf(bus, config.host);
    return new NatsEnvironment(bus, {
      devices,
      ask: (service, pattern, data) => bus.control(service, pattern, data, ASK_MS),
      mended: () => processes.mended(),
      url: labUrl(config),
      crash: keeps ? (plan) => killAndRevive(processes, plan, killDelay()) : undefined,
      end: async (): Promise<RunEnd> => {
        await processes.stopAll();
        await bus.close();
        await server?.stop();
        return keeps ? endOfJournals(dir, [...SERVICES, ...(await devices())].sort()) : { actors: [], broken: [] };
      },
    });
  } catch (e) {
    processes.killAll();
    await opened?.close();
    await server?.stop();
    throw e;
  }
}

/** Without a password: whoever may use it knows it. */
const labUrl = ({ nats, tenant, lab, host }: ShellConfig): string =>
  `${nats!.replace(/\/\/[^@/]*@/, '//')}/${tenant}/${lab}/${host}`;

async function killAndRevive(
  processes: ServiceProcesses,
  { service, downMs }: CrashPlan,
  delayMs: number,
): Promise<void> {
  await sleep(delayMs);
  await processes.kill(serviceOf(service));
  await sleep(downMs);
  await processes.start(serviceOf(service));
}
