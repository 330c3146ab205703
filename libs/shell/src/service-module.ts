/**
 * A service as a Nest module: the same in one process with everything, and in a process of its own.
 *
 * Rule: Nest makes, starts and ends things; frames never pass through it.
 */
import 'reflect-metadata';
import { join } from 'node:path';
import {
  type DynamicModule,
  Inject,
  Injectable,
  Module,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
} from '@nestjs/common';
import { type Address, type Core, NoJournal } from '@vfiolab/core';
import { ActorHost, type ActorHostOptions } from './actor-host.js';
import type { Bus } from './bus.js';
import { ControlController } from './control.controller.js';
import { FaultStore } from './fault-store.js';
import { FaultsController } from './faults.controller.js';
import { HostList } from './host-list.js';
import { HostsController } from './hosts.controller.js';
import { JournalFolder } from './journal-folder.js';
import { LabNatsServer } from './lab-nats-server.js';
import { NatsBus } from './nats-bus.js';
import { ServedHosts } from './served-hosts.js';
import type { ShellConfig } from './shell-config.js';

/** Services with one actor each, and those with many. */
export const FAMILIES: readonly string[] = ['device'];

export interface ServiceOptions {
  /** Services that run here: one in a process of its own, all when embedded. */
  readonly services: readonly string[];
  readonly cores: (address: Address) => Core | undefined;
  readonly bus: Bus;
  readonly config: ShellConfig;
  /** Actors whose state no journal can bring back: they keep none, and are lost when they are killed. */
  readonly unjournaled?: readonly Address[];
  /** An actor of the host has stopped by itself. */
  readonly onFailed: (address: Address, error: Error, host: string) => void;
  /** An actor of the host has no room in its journal, and waits; undefined: it goes on. */
  readonly onReadOnly?: (address: Address, why: Error | undefined, host: string) => void;
  /** How a fault plan kills a service that has its process for itself; left out: its actors, in this process. */
  readonly crash?: ((target: Address, downMs: number) => void) | undefined;
  /** What tests and embedded labs set: scheduler, limits, clock. */
  readonly host?: Partial<Pick<ActorHostOptions, 'scheduler' | 'limits' | 'now'>>;
}

export const SERVICE_OPTIONS = Symbol('service options');

/** The actors of one host. */
function makeHost(options: ServiceOptions, host: string): ActorHost {
  const { services, cores, bus, config, onFailed, onReadOnly, unjournaled = [], crash, host: more } = options;
  const folder = new JournalFolder({ ...config, host });
  const actors = services.flatMap((s) => (FAMILIES.includes(s) ? folder.known(s) : [s]));
  const families = services.filter((s) => FAMILIES.includes(s));
  return new ActorHost({
    bus: bus instanceof NatsBus && host !== config.host ? bus.forHost(host) : bus,
    actors,
    families,
    cores,
    journals: (address) => (unjournaled.includes(address) ? new NoJournal() : folder.open(address)),
    onFailed: (address, error) => onFailed(address, error, host),
    onReadOnly: (address, why) => onReadOnly?.(address, why, host),
    ...(folder.path !== undefined && { faults: new FaultStore(join(folder.path, `${services.join('+')}.faults`)) }),
    ...(config.durability === 'none' || unjournaled.length > 0 ? { crash: 'never' } : crash && { crash }),
    ...more,
  });
}

/** A bus in memory has one host; on NATS the configuration says how many there may be. */
const makeHosts = (options: ServiceOptions): ServedHosts =>
  new ServedHosts({
    home: options.config.host,
    most: options.bus instanceof NatsBus ? options.config.hosts : 1,
    make: (host) => makeHost(options, host),
    list: new HostList(options.config, options.services.join('+')),
    onUnrecovered: (host, error) => options.onFailed(options.services.join('+'), error, host),
  });

/** Starts the actors when Nest has started, and ends them when every handler of Nest has ended. */
@Injectable()
export class ActorHostLifecycle implements OnApplicationBootstrap, OnApplicationShutdown {
  constructor(
    @Inject(ServedHosts) private readonly hosts: ServedHosts,
    @Inject(SERVICE_OPTIONS) private readonly options: ServiceOptions,
  ) {}

  onApplicationBootstrap(): Promise<void> {
    return this.hosts.start();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.hosts.stop();
    const { bus } = this.options;
    if (bus instanceof NatsBus) await bus.close();
  }
}

@Module({})
export class ServiceModule {
  static forRoot(options: ServiceOptions): DynamicModule {
    return {
      module: ServiceModule,
      controllers: [ControlController, FaultsController, HostsController],
      providers: [
        { provide: SERVICE_OPTIONS, useValue: options },
        { provide: ServedHosts, useFactory: makeHosts, inject: [SERVICE_OPTIONS] },
        { provide: ActorHost, useFactory: (hosts: ServedHosts) => hosts.home, inject: [ServedHosts] },
        ActorHostLifecycle,
      ],
      exports: [ActorHost],
    };
  }

  /** Nest's transport for a process of one service. */
  static transport(bus: NatsBus, service: string): LabNatsServer {
    return new LabNatsServer(bus, service);
  }
}
