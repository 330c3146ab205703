/**
 * A service as a Nest module: the same in one process with everything, and in a process of its own.
 *
 * Rule: Nest makes, starts and ends things; frames never pass through it.
 */
import 'reflect-metadata';
import {
  type DynamicModule,
  Inject,
  Injectable,
  Module,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
} from '@nestjs/common';
import { type Address, type Core } from '@vfiolab/core';
import { ActorHost, type ActorHostOptions } from './actor-host.js';
import type { Bus } from './bus.js';
import { ControlController } from './control.controller.js';
import { JournalFolder } from './journal-folder.js';
import { LabNatsServer } from './lab-nats-server.js';
import { NatsBus } from './nats-bus.js';
import type { ShellConfig } from './shell-config.js';

/** Services with one actor each, and those with many. */
export const FAMILIES: readonly string[] = ['device'];

export interface ServiceOptions {
  /** Services that run here: one in a process of its own, all when embedded. */
  readonly services: readonly string[];
  readonly cores: (address: Address) => Core | undefined;
  readonly bus: Bus;
  readonly config: ShellConfig;
  readonly onFailed: ActorHostOptions['onFailed'];
  /** What tests and embedded labs set: scheduler, limits, clock. */
  readonly host?: Partial<Pick<ActorHostOptions, 'scheduler' | 'limits' | 'now'>>;
}

export const SERVICE_OPTIONS = Symbol('service options');

function makeHost({ services, cores, bus, config, onFailed, host }: ServiceOptions): ActorHost {
  const folder = new JournalFolder(config);
  const actors = services.flatMap((s) => (FAMILIES.includes(s) ? folder.known(s) : [s]));
  const families = services.filter((s) => FAMILIES.includes(s));
  return new ActorHost({ bus, actors, families, cores, journals: folder.open, onFailed, ...host });
}

/** Starts the actors when Nest has started, and ends them when every handler of Nest has ended. */
@Injectable()
export class ActorHostLifecycle implements OnApplicationBootstrap, OnApplicationShutdown {
  constructor(
    @Inject(ActorHost) private readonly host: ActorHost,
    @Inject(SERVICE_OPTIONS) private readonly options: ServiceOptions,
  ) {}

  onApplicationBootstrap(): Promise<void> {
    return this.host.start();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.host.stop();
    const { bus } = this.options;
    if (bus instanceof NatsBus) await bus.close();
  }
}

@Module({})
export class ServiceModule {
  static forRoot(options: ServiceOptions): DynamicModule {
    return {
      module: ServiceModule,
      controllers: [ControlController],
      providers: [
        { provide: SERVICE_OPTIONS, useValue: options },
        { provide: ActorHost, useFactory: makeHost, inject: [SERVICE_OPTIONS] },
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
