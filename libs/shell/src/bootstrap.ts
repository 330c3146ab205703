/**
 * A service's process, from its environment to its end.
 *
 * Rule: SIGTERM ends it in order; an actor that cannot go on ends it with code 1, and whoever supervises it starts it
 * again: the journal holds everything that was said. An actor of a further host stops alone.
 */
import 'reflect-metadata';
import type { INestMicroservice } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { Address, Core } from '@vfiolab/core';
import { healthOf } from './health.js';
import type { BusEvent } from './nats-line.js';
import { metricsOf } from './metrics.js';
import { NatsBus } from './nats-bus.js';
import { configFromEnvironment, type ShellConfig } from './shell-config.js';
import { ServedHosts } from './served-hosts.js';
import { ServiceModule } from './service-module.js';
import { json, type Pages, WatchServer } from './watch-server.js';

/** Runs one service on NATS until it is told to end. Never rejects: what is wrong is said on stderr, with exit code 1. */
export async function bootstrap(service: string, cores: (address: Address) => Core | undefined): Promise<void> {
  try {
    const config = configFromEnvironment(process.env, { nats: true });
    await run(service, cores, config);
    console.log(`${service}: ready (${config.tenant}/${config.lab}/${config.host}, durability ${config.durability})`);
  } catch (e) {
    complain(service, e as Error);
    process.exitCode = 1;
  }
}

async function run(service: string, cores: (address: Address) => Core | undefined, config: ShellConfig): Promise<void> {
  let app: INestMicroservice | undefined;
  let watch: WatchServer | undefined;
  const onFailed = (address: Address, error: Error, host: string): void => {
    complain(`${host} ${address}`, error);
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
    onEvent: (e) => report(service, e),
  });
  try {
    const module = ServiceModule.forRoot({ services: [service], cores, bus, config, onFailed, onReadOnly });
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

function report(service: string, event: BusEvent): void {
  if (event.kind === 'forbidden')
    console.error(
      `${service}: the NATS server forbids ${event.operation} on ${event.subject}: check this user's permissions`,
    );
  else if (event.kind === 'error') complain(service, event.error);
  else console.error(`${service}: NATS ${event.kind}`);
}

const complain = (who: string, error: Error): void => console.error(`${who}: ${error.message}`);
