import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { NestFactory } from '@nestjs/core';
import { LAB } from '@vfiolab/core';
import { ActorHost } from './actor-host.js';
import { MemoryBus } from './memory-bus.js';
import { NatsBus } from './nats-bus.js';
import { findNatsServer, freePort, type NatsServer, startNatsServer } from './nats-server.js';
import { ServiceModule } from './service-module.js';
import type { ShellConfig } from './shell-config.js';
import { readJournal } from './journal-file.js';
import { counterApi, testCores } from './testing/counter-core.js';
import { callAll, Rig, sumOf, until } from './testing/rig.js';
import { TurnScheduler } from './turn-scheduler.js';

const SCOPE = { tenant: 't', lab: 'l', host: 'h' };
let rig: Rig;
beforeEach(() => (rig = new Rig()));
afterEach(() => rig.stop());

const config = (): ShellConfig => ({
  ...SCOPE,
  nats: undefined,
  data: rig.dir,
  durability: 'process',
  record: true,
  hosts: 1,
});

test('embedded: all services in one Nest application, with journals that outlive it', async () => {
  const device = 'device:0000:65:00_0';
  const open = async () => {
    const scheduler = new TurnScheduler();
    const bus = new MemoryBus(scheduler);
    const services = [LAB, 'pages', 'iommu', 'device'];
    const module = ServiceModule.forRoot({
      services,
      cores: testCores,
      bus,
      config: config(),
      onFailed: (address, error) => rig.failures.push({ address, error }),
      host: { scheduler },
    });
    const app = await NestFactory.createApplicationContext(module, { logger: false, abortOnError: false });
    return { app, bus, host: app.get(ActorHost) };
  };
  const first = await open();
  const caller = rig.client(first.bus);
  await callAll(caller, 'iommu', counterApi.addBoth, Array(10).fill({ by: 1 }));
  await caller.call(device, counterApi.add, { by: 4 });
  await first.app.close();
  const second = await open();
  // The device is there because its journal is, before anybody has written to it.
  expect(second.host.states().map((s) => s.address)).toEqual([LAB, 'pages', 'iommu', device]);
  expect([sumOf(second.host, 'pages'), sumOf(second.host, 'iommu'), sumOf(second.host, device)]).toEqual([10, 10, 4]);
  await second.app.close();
  expect(existsSync(join(rig.dir, 't', 'l', 'h', 'pages.db-wal'))).toBe(false);
  expect(rig.failures).toEqual([]);
});

const withServer = findNatsServer() ? describe : describe.skip;

withServer('as processes (skipped when nats-server is not installed)', () => {
  const here = (name: string): string => fileURLToPath(new URL(`./testing/${name}`, import.meta.url));
  let server: NatsServer;
  let bus: NatsBus;
  const children: ChildProcess[] = [];
  beforeAll(async () => {
    server = await startNatsServer();
    bus = await NatsBus.connect({ ...SCOPE, url: server.url, name: 'test' });
  });
  afterAll(async () => {
    await bus.close();
    await server.stop();
  });
  afterEach(() => children.splice(0).forEach((c) => c.kill('SIGKILL')));

  const environment = (): Record<string, string> => ({
    PATH: process.env.PATH ?? '',
    VFIOLAB_NATS: server.url,
    VFIOLAB_TENANT: 't',
    VFIOLAB_LAB: 'l',
    VFIOLAB_HOST: 'h',
    VFIOLAB_DATA: rig.dir,
    VFIOLAB_RECORD: '1',
  });

  function launch(
    service: string,
    env = environment(),
  ): { child: ChildProcess; text: () => string; ended: Promise<unknown[]> } {
    const child = spawn(process.execPath, ['--import', here('run-ts.mjs'), here('service-process.ts'), service], {
      env,
    });
    children.push(child);
    let text = '';
    for (const stream of [child.stdout!, child.stderr!]) stream.on('data', (c: Buffer) => (text += c.toString()));
    const ended = new Promise<unknown[]>((resolve) => child.once('close', (...how) => resolve(how)));
    return { child, text: () => text, ended };
  }

  test('killed in the middle of its work a service goes on when it is started again; SIGTERM closes its journal', async () => {
    launch(LAB);
    let pages = launch('pages');
    const caller = rig.client(bus);
    // The first answer kills: the others are on their way, in the journal or not.
    const first = caller.call('pages', counterApi.add, { by: 1 }).then(() => pages.child.kill('SIGKILL'));
    const answers = callAll(caller, 'pages', counterApi.add, Array(1999).fill({ by: 1 }));
    await first;
    await pages.ended;
    pages = launch('pages');
    expect(Math.max(...(await answers))).toBe(2000);
    expect(await bus.control('pages', 'status', null)).toMatchObject([
      { address: 'pages', state: 'serving', broken: [] },
    ]);
    expect(await bus.control('pages', 'describe', { address: 'pages' })).toEqual(['sum 2000']);
    expect(await bus.control('pages', 'describe', { address: 'x' })).toEqual([
      "there is no actor 'x' here; there are pages",
    ]);
    pages.child.kill('SIGTERM');
    await pages.ended;
    const reading = await readJournal(join(rig.dir, 't', 'l', 'h', 'pages.db'), 'pages');
    expect(reading.meta.closedSeq).toBe(reading.head.seq);
    await reading.close();
  }, 40_000);

  test('one process, many hosts: bounded, apart, and back after a crash', async () => {
    const env = { ...environment(), VFIOLAB_HOSTS: '3' };
    const lab = launch(LAB, env);
    let pages = launch('pages', env);
    const ready = (...of: { text: () => string }[]): Promise<void> =>
      until('they are ready', () => of.every(({ text }) => text().includes('ready')), 15_000);
    await ready(lab, pages);
    for (const service of [LAB, 'pages'])
      for (const host of ['a', 'b']) expect(await bus.control(service, 'serve', { host })).toContain(host);
    await expect(bus.control('pages', 'serve', { host: 'c' })).rejects.toThrow(
      /pages\.serve: c is not served: the process of h serves all 3 hosts that it may/,
    );
    await expect(bus.control('pages', 'serve', null)).rejects.toThrow(/"" is no host/);
    await expect(bus.control('pages', 'status', { host: 'c' })).rejects.toThrow(
      /host 'c' is not served here; there are h, a, b/,
    );
    const at = (host: string) => rig.client(bus.forHost(host));
    const [a, b] = [at('a'), at('b')];
    expect([
      await a.call('pages', counterApi.add, { by: 1 }),
      await b.call('pages', counterApi.add, { by: 10 }),
    ]).toEqual([1, 10]);
    pages.child.kill('SIGKILL');
    await pages.ended;
    pages = launch('pages', env);
    expect([
      await a.call('pages', counterApi.add, { by: 1 }),
      await b.call('pages', counterApi.add, { by: 10 }),
    ]).toEqual([2, 20]);
    expect(await bus.control('pages', 'hosts', null)).toEqual(['h', 'a', 'b']);
    // A mistake in one host stops its actor there; released and served again, it goes on from its journal.
    const wrong = a.call('pages', counterApi.blunder, {}).catch((e: Error) => e);
    await until('it has been complained about', () => pages.text().includes('a pages: a mistake of the core'));
    expect(await b.call('pages', counterApi.add, { by: 10 })).toBe(30);
    expect(await bus.control('pages', 'status', { host: 'a' })).toMatchObject([{ address: 'pages', state: 'failed' }]);
    expect(await bus.control('pages', 'release', { host: 'b' })).toEqual(['h', 'a']);
    const reading = await readJournal(join(rig.dir, 't', 'l', 'b', 'pages.db'), 'pages');
    expect(reading.meta.closedSeq).toBe(reading.head.seq);
    await reading.close();
    await bus.control('pages', 'serve', { host: 'b' });
    expect(await b.call('pages', counterApi.add, { by: 10 })).toBe(40);
    void wrong;
  }, 60_000);

  test('what a process shows of its health is what its actors and its connection are', async () => {
    const own = await startNatsServer();
    const VFIOLAB_WATCH = `127.0.0.1:${await freePort()}`;
    const env = { ...environment(), VFIOLAB_NATS: own.url };
    const { child } = launch('pages', { ...env, VFIOLAB_WATCH });
    const health = async (): Promise<unknown> =>
      (await fetch(`http://${VFIOLAB_WATCH}/health`).catch(() => undefined))?.json();
    const becomes = async (problems: string[]): Promise<void> => {
      let last: unknown;
      const expected = JSON.stringify({ healthy: problems.length === 0, problems });
      const look = setInterval(() => void health().then((h) => (last = h)), 50);
      await until(expected, () => JSON.stringify(last) === expected, 15_000).finally(() => clearInterval(look));
    };
    // Nobody has given it authority yet.
    await becomes(['pages is starting']);
    launch(LAB, env);
    await becomes([]);
    const metrics = await (await fetch(`http://${VFIOLAB_WATCH}/metrics`)).text();
    expect(metrics).toMatch(/^vfiolab_actors_serving\{host="h",service="pages"\} 1$/m);
    await own.stop();
    await becomes(['there is no connection to NATS']);
    expect(child.exitCode).toBeNull();
  }, 60_000);

  test('a process with a lifeline ends in order with whoever started it', async () => {
    launch(LAB);
    const pages = launch('pages', { ...environment(), VFIOLAB_LIFELINE: '1' });
    await until('it is ready', () => pages.text().includes('ready'), 15_000);
    expect(await rig.client(bus).call('pages', counterApi.add, { by: 1 })).toBe(1);
    pages.child.stdin!.end();
    await pages.ended;
    const reading = await readJournal(join(rig.dir, 't', 'l', 'h', 'pages.db'), 'pages');
    expect(reading.meta.closedSeq).toBe(reading.head.seq);
    await reading.close();
  }, 40_000);

  test('control answers go to the control inbox and nowhere else', async () => {
    const lab = launch(LAB);
    await until('it is ready', () => lab.text().includes('ready'), 15_000);
    const got: string[] = [];
    const elsewhere = bus.connection.subscribe('elsewhere', { callback: (_e, m) => got.push(m.subject) });
    bus.connection.publish(`${bus.scope}.ctl.${LAB}.status`, 'null', { reply: 'elsewhere' });
    expect(await bus.control(LAB, 'status', null)).toMatchObject([{ address: LAB }]);
    expect(got).toEqual([]);
    elsewhere.unsubscribe();
  }, 20_000);

  test.each([
    [
      'without configuration',
      { VFIOLAB_NATS: '', VFIOLAB_DATA: '' },
      /pages: VFIOLAB_NATS is not set[^]*VFIOLAB_DATA is not set/,
    ],
  ])(
    '%s it ends with code 1 and says why',
    async (_name, change, message) => {
      const { text, ended } = launch('pages', { ...environment(), ...change });
      expect((await ended)[0]).toBe(1);
      expect(text()).toMatch(message);
    },
    20_000,
  );
});
