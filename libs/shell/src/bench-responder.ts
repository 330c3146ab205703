/**
 * The other side of the NATS benchmarks, in a thread of its own: answers until it is told to end.
 *
 * Data of the thread: the server's address and which kind of responder to be. Says `ready` when it answers.
 */
import 'reflect-metadata';
import { parentPort, workerData } from 'node:worker_threads';
import { connect } from '@nats-io/transport-node';
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { MessagePattern, Payload, Transport } from '@nestjs/microservices';
import { LAB, NoJournal } from '@vfiolab/core';
import { ActorHost } from './actor-host.js';
import { BENCH_SCOPE, type ResponderKind, STOCK_PATTERN, RAW_SUBJECT } from './bench-subjects.js';
import { NatsBus } from './nats-bus.js';
import { testCores } from './testing/counter-core.js';

@Controller()
class EchoController {
  @MessagePattern(STOCK_PATTERN)
  echo(@Payload() data: unknown): unknown {
    return data;
  }
}

@Module({ controllers: [EchoController] })
class EchoModule {}

const responders: Record<ResponderKind, (url: string) => Promise<void>> = {
  async raw(url) {
    const nc = await connect({ servers: url });
    nc.subscribe(RAW_SUBJECT, { callback: (_error, msg) => void msg.respond(msg.data) });
    await nc.flush();
  },
  async stock(url) {
    const app = await NestFactory.createMicroservice(EchoModule, {
      transport: Transport.NATS,
      options: { servers: [url] },
      logger: false,
    });
    await app.listen();
  },
  async actor(url) {
    const bus = await NatsBus.connect({ ...BENCH_SCOPE, url, name: 'bench responder' });
    const host = new ActorHost({
      bus,
      actors: [LAB, 'pages'],
      cores: testCores,
      journals: () => new NoJournal(),
      onFailed: (address, error) => console.error(address, error),
    });
    await host.start();
    await host.serving('pages');
  },
};

const { url, kind } = workerData as { url: string; kind: ResponderKind };
await responders[kind](url);
parentPort!.postMessage('ready');
