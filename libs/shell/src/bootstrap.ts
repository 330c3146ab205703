/**
 * A service's process, from its environment to its end.
 *
 * Rule: SIGTERM ends it in order; an actor that cannot go on ends it with code 1, and whoever supervises it starts it
 * again: the journal holds everything that was said. An actor of a further host stops alone.
 */
import 'reflect-metadata';
import { writeSync } from 'node:fs';
import type { INestMicroservice } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { Address, Core } from '@vfiolab/core';
import { healthOf } from './health.js';
import type { BusEvent } from './nats-line.js';
import { Log } from './log.js';
import { metricsOf } from './metrics.js';
import { NatsBus } from './nats-bus.js';
import { configFromEnvironment, type ShellConfig } from './shell-config.js';
import { ServedHosts } from './served-hosts.js';
import { ServiceModule } from './service-module.js';
import { json, type Pages, WatchServer } from './watch-server.js';

/** Runs one service on NATS until it is told to end. Never rejects: what is wrong is said on stderr, with exit code 1. */
export async function bootstrap(service: string, cores: (address: Address) => Core | undefined): Promise<void> {
  let log = new Log(service, 'text');
  try {
    const config = configFromEnvironment(process.env, { nats: true });
    const { tenant, lab, host, durability } = config;
    log = new Log(service, config.log ?? 'text');
    await run(service, cores, config, log);
    log.say('info', `ready (${tenant}/${lab}/${host}, durability ${durability})`, { tenant, lab, host });
  } catch (e) {
    log.say('error', (e as Error).message);
    process.exitCode = 1;
  }
}

async function run(
  service: string,
  cores: (address: Address) => Core | undefined,
  config: ShellConfig,
  log: Log,
): Promise<void> {
  let app: INestMicroservice | undefined;
  let watch: WatchServer | undefined;
  const onFailed = (address: Address, error: Error, host: string): void => {
    log.say('error', `${host} ${address}: ${error.message}`, { host, address });
    // The other hosts go on: this one is released and served again to bring it back.
    if (host !== config.host) return;
    process.exitCode = 1;
    void app?.close();
  };
  const onReadOnly = (address: Address, why: Error | undefined, host: string): void =>
    console.error(`${host} ${address}: ${why ? `read-only: ${why.message}` : 'there is room in the journal again'}`);
  const bus = await NatsBus.connect({
    ...config,
    url: config.nats!,
    name: service,
    onEvent: (e) => report(log, e),
  });
  try {
    const module = ServiceModule.forRoot({ services: [service], cores, bus, config, onFailed, onReadOnly, crash });
    app = await NestFactory.createMicroservice(module, {
      strategy: ServiceModule.transport(bus, service),
      logger: ['error', 'warn', 'fatal'],
      abortOnError: false,
    });
    app.enableShutdownHooks();
    if (config.lifeline) process.stdin.on('end', () => process.kill(process.pid, 'SIGTERM')).resume();
    if (config.watch) watch = await WatchServer.listen(config.watch, pagesOf(service, app.get(ServedHosts), bus));
    await app.listen();
  } catch (e) {
    await watch?.close();
    await bus.close();
    throw e;
  }
}

/** What a process says on stdout before a fault plan kills it, with the ms that it shall stay away. */
export const KILLED = 'killed by a fault plan for';

/** A fault plan kills this process, as SIGKILL does: nothing that is under way is finished. */
function crash(_target: Address, downMs: number): void {
  writeSync(1, `${KILLED} ${downMs} ms\n`);
  process.kill(process.pid, 'SIGKILL');
}

function pagesOf(service: string, hosts: ServedHosts, bus: NatsBus): Pages {
  const metrics = metricsOf(service, hosts, bus);
  return {
    '/health': () => {
      const health = healthOf(hosts, bus.connected);
      return json(health.healthy ? 200 : 503, health);
    },
    '/metrics': async () => ({ status: 200, type: metrics.contentType, text: await metrics.metrics() }),
  };
}

function report(log: Log, event: BusEvent): void {
  if (event.kind === 'forbidden') {
    const { operation, subject } = event;
    const hint = "check this user's permissions";
    log.say('error', `the NATS server forbids ${operation} on ${subject}: ${hint}`, { operation, subject });
  } else if (event.kind === 'error') log.say('error', event.error.message);
  else log.say('warning', `NATS ${event.kind}`);
}
