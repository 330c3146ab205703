import { type Address, deviceAddress, LAB, MAX_FRAME } from '@vfiolab/core';
import { NatsBus } from './nats-bus.js';
import type { BusEvent } from './nats-line.js';
import { findNatsServer, type NatsServer, startNatsServer } from './nats-server.js';
import {
  addressSubject,
  clientPermissions,
  frameSubject,
  parseFrameSubject,
  scopeSubject,
  servicePermissions,
} from './nats-subjects.js';
import { counterApi } from './testing/counter-core.js';
import { callAll, Rig, sumOf, until } from './testing/rig.js';

const SCOPE = { tenant: 't', lab: 'l', host: 'h' };

describe('subjects', () => {
  test.each([
    ['pages', 'pages._'],
    [deviceAddress('0000:65:00.0'), 'device.0000:65:00_0'],
    ['client:vmm1', 'client.vmm1'],
  ])('%s is %s', (address, subject) => {
    expect(addressSubject(address)).toBe(subject);
    const whole = frameSubject(scopeSubject(SCOPE), address, 'lab');
    expect(parseFrameSubject(whole, 4)).toEqual({ to: address, from: 'lab' });
  });

  test.each(['', 'a.b', 'client:', ':x', 'pages:_', 'client:*', 'client:>', 'a b', 'client:\u00e4'])(
    "'%s' is no address",
    (address) => {
      expect(() => addressSubject(address)).toThrow(/is not an address/);
    },
  );

  test.each(['', 'a.b', '*', 'a'.repeat(65)])("'%s' is no tenant", (tenant) => {
    expect(() => scopeSubject({ ...SCOPE, tenant })).toThrow(/tenant '.*': only letters/);
  });
});

/** The binary is part of the distributed mode; where it is missing these tests say so instead of passing. */
const withServer = findNatsServer() ? describe : describe.skip;

withServer('over a nats-server (skipped when nats-server is not installed)', () => {
  let server: NatsServer;
  let rig: Rig;
  const buses: NatsBus[] = [];
  const bus = async (name: string, events: BusEvent[] = [], url = server.url): Promise<NatsBus> => {
    const b = await NatsBus.connect({ ...SCOPE, url, name, onEvent: (e) => events.push(e) });
    buses.push(b);
    return b;
  };
  const extra: NatsServer[] = [];
  const another = async (options = {}): Promise<NatsServer> => {
    const started = await startNatsServer(options);
    extra.push(started);
    return started;
  };
  beforeAll(async () => (server = await startNatsServer()));
  afterAll(() => server.stop());
  beforeEach(() => (rig = new Rig()));
  afterEach(async () => {
    await rig.stop();
    await Promise.all(buses.splice(0).map((b) => b.close()));
    await Promise.all(extra.splice(0).map((s) => s.stop()));
  });

  test('actors in processes of their own finish an operation of two services', async () => {
    await rig.host(await bus('lab'), [LAB]);
    const pages = await rig.host(await bus('pages'), ['pages']);
    const iommu = await rig.host(await bus('iommu'), ['iommu']);
    const sums = await callAll(
      rig.client(await bus('client')),
      'iommu',
      counterApi.addBoth,
      Array(100).fill({ by: 1 }),
    );
    expect(sums.at(-1)).toBe(100);
    expect([sumOf(pages, 'pages'), sumOf(iommu, 'iommu')]).toEqual([100, 100]);
  });

  test('a device that nobody has heard of is made by its service', async () => {
    const device = deviceAddress('0000:65:00.0');
    await rig.host(await bus('lab'), [LAB]);
    const devices = await rig.host(await bus('device'), [], { families: ['device'] });
    const caller = rig.client(await bus('client'));
    expect(await caller.call(device, counterApi.add, { by: 7 })).toBe(7);
    expect(devices.states()).toEqual([{ address: device, state: 'serving' }]);
  });

  test('an actor killed and revived finishes the operation in flight exactly once', async () => {
    await rig.host(await bus('lab'), [LAB]);
    const pages = await rig.host(await bus('pages'), ['pages']);
    const iommu = await rig.host(await bus('iommu'), ['iommu']);
    await iommu.serving('iommu');
    await pages.serving('pages');
    pages.kill('pages');
    const answer = rig.client(await bus('client')).call('iommu', counterApi.addBoth, { by: 3 });
    await until('iommu has asked', () => iommu.actor('iommu')!.machine.inFlight === 1);
    iommu.kill('iommu');
    await iommu.revive('iommu');
    await pages.revive('pages');
    expect(await answer).toBe(3);
    expect([sumOf(pages, 'pages'), sumOf(iommu, 'iommu')]).toEqual([3, 3]);
  });

  test('hosts on one connection hear what is for them, and nothing is left of one that is detached', async () => {
    const home = await bus('one');
    const subscriptions = (): number =>
      (home.connection as unknown as { protocol: { subscriptions: { size(): number } } }).protocol.subscriptions.size();
    const before = subscriptions();
    const heard: string[] = [];
    const detach = ['a', 'b'].map((host) =>
      home.forHost(host).attach('pages', (from) => heard.push(`${host} ${from}`)),
    );
    const devices = home.forHost('b').attachService('device', (to, from) => heard.push(`b ${to} ${from}`));
    await home.connection.flush();
    const sender = await bus('two');
    sender.send('lab', 'pages', new Uint8Array(1));
    sender.forHost('a').send('lab', 'pages', new Uint8Array(1));
    sender.forHost('b').send('iommu', 'pages', new Uint8Array(1));
    sender.forHost('b').send('iommu', 'device:x', new Uint8Array(1));
    await until('three frames', () => heard.length === 3);
    expect(heard).toEqual(['a lab', 'b iommu', 'b device:x iommu']);
    for (const each of [...detach, devices]) each();
    expect(subscriptions()).toBe(before);
    sender.forHost('a').send('lab', 'pages', new Uint8Array(1));
    await sender.connection.flush();
    await home.connection.flush();
    expect(heard.length).toBe(3);
  });

  test('the largest frame passes, one byte more is refused before it is sent', async () => {
    const [a, b] = [await bus('a'), await bus('b')];
    let got = 0;
    b.attach('pages', (_from, frame) => (got = frame.length));
    await b.connection.flush();
    a.send('iommu', 'pages', new Uint8Array(MAX_FRAME));
    await until('it arrived', () => got === MAX_FRAME);
    expect(() => a.send('iommu', 'pages', new Uint8Array(MAX_FRAME + 1))).toThrow(/frame of 1000001 bytes/);
  });

  test('a server that allows too little is refused with the line to change', async () => {
    const small = await another({ config: 'max_payload: 65536' });
    await expect(bus('x', [], small.url)).rejects.toThrow(/at most 65536 bytes. Set max_payload to 1000000/);
  });

  test.each([
    ['not a url', 'http://x', /VFIOLAB_NATS: 'http:\/\/x' is not a NATS address/],
    ['nobody there', 'nats://127.0.0.1:1', /127\.0\.0\.1:1: no NATS server answered in 300 ms/],
  ])('%s is a clear error', async (_name, url, message) => {
    await expect(NatsBus.connect({ ...SCOPE, url, name: 'x', connectMs: 300 })).rejects.toThrow(message);
  });

  test('the server goes and comes back: frames sent meanwhile are dropped, requests are answered after it', async () => {
    let own = await another();
    const events: BusEvent[] = [];
    await rig.host(await bus('lab', [], own.url), [LAB, 'pages']);
    const client = await bus('client', events, own.url);
    const caller = rig.client(client);
    await caller.call('pages', counterApi.add, { by: 1 });
    await own.kill();
    await until('the loss was noticed', () => events.some((e) => e.kind === 'disconnected'));
    const answer = caller.call('pages', counterApi.add, { by: 1 });
    expect(client.dropped).toBeGreaterThan(0);
    own = await another({ port: Number(new URL(own.url).port) });
    expect(await answer).toBe(2);
    expect(events.at(-1)).toEqual({ kind: 'connected' });
  }, 20_000);

  test('a connection is closed in order also while there is no server', async () => {
    const own = await another();
    const events: BusEvent[] = [];
    const client = await NatsBus.connect({ ...SCOPE, url: own.url, name: 'x', onEvent: (e) => events.push(e) });
    await own.kill();
    await until('the loss was noticed', () => events.some((e) => e.kind === 'disconnected'));
    await client.close();
    expect(client.connection.isClosed()).toBe(true);
  }, 20_000);

  describe('with permissions', () => {
    const user = (name: string, p: { publish: readonly string[]; subscribe: readonly string[] }): string =>
      `{ user: ${name}, password: secret, permissions: { publish: ${JSON.stringify(p.publish)}, subscribe: ${JSON.stringify(p.subscribe)} } }`;
    const as = (s: NatsServer, name: string): string => s.url.replace('//', `//${name}:secret@`);
    let guarded: NatsServer;
    beforeAll(async () => {
      const services = [LAB, 'pages', 'device'].map((s) => user(s, servicePermissions(SCOPE, s)));
      const many = user('many', servicePermissions(SCOPE, 'iommu', 'lab'));
      const elsewhere = user('elsewhere', clientPermissions({ ...SCOPE, host: 'h2' }, 'client:vmm'));
      const users = [...services, many, elsewhere, user('vmm', clientPermissions(SCOPE, 'client:vmm'))];
      guarded = await startNatsServer({ config: `authorization: { users: [${users.join(', ')}] }` });
    });
    afterAll(() => guarded.stop());

    test('what each needs is enough', async () => {
      await rig.host(await bus('lab', [], as(guarded, 'lab')), [LAB]);
      await rig.host(await bus('pages', [], as(guarded, 'pages')), ['pages']);
      await rig.host(await bus('device', [], as(guarded, 'device')), [], { families: ['device'] });
      const caller = rig.client(await bus('vmm', [], as(guarded, 'vmm')), 'client:vmm');
      expect(await caller.call('device:0', counterApi.addBoth, { by: 4 })).toBe(4);
    });

    test('a process that serves any host of its lab may speak as its service there, and no other may', async () => {
      const events: BusEvent[] = [];
      const many = (await bus('many', events, as(guarded, 'many'))).forHost('h2');
      const heard: string[] = [];
      many.attach('iommu', (from) => {
        heard.push(from);
        many.send('iommu', 'client:vmm', new Uint8Array(1));
      });
      await many.connection.flush();
      const vmm = (await bus('elsewhere', [], as(guarded, 'elsewhere'))).forHost('h2');
      vmm.attach('client:vmm', (from) => heard.push(from));
      vmm.send('client:vmm', 'iommu', new Uint8Array(1));
      await until('question and answer', () => heard.length === 2);
      expect(heard).toEqual(['client:vmm', 'iommu']);
      expect(events).toEqual([]);
      const single: BusEvent[] = [];
      (await bus('pages', single, as(guarded, 'pages'))).forHost('h2').attach('pages', () => undefined);
      await until('the refusal', () => single.some((e) => e.kind === 'forbidden'));
    });

    test('nobody speaks as somebody else, and the attempt is reported', async () => {
      const events: BusEvent[] = [];
      const got: Address[] = [];
      const pages = await bus('pages', [], as(guarded, 'pages'));
      pages.attach('pages', (from) => got.push(from));
      await pages.connection.flush();
      const vmm = await bus('vmm', events, as(guarded, 'vmm'));
      vmm.send('lab', 'pages', new Uint8Array(1));
      vmm.send('client:other', 'pages', new Uint8Array(1));
      vmm.send('client:vmm', 'pages', new Uint8Array(1));
      await until('two refusals and one frame', () => events.length === 2 && got.length === 1);
      expect(got).toEqual(['client:vmm']);
      expect(events[0]).toEqual({ kind: 'forbidden', operation: 'publish', subject: 'vfl.t.l.h.pages._.lab._' });
    });

    test('nobody listens to what is for others, and the attempt is reported', async () => {
      const events: BusEvent[] = [];
      const vmm = await bus('vmm', events, as(guarded, 'vmm'));
      vmm.attach('client:other', () => undefined);
      await until('the refusal', () => events.some((e) => e.kind === 'forbidden'));
    });

    test('a wrong password is a clear error', async () => {
      const url = guarded.url.replace('//', '//pages:wrong@');
      await expect(NatsBus.connect({ ...SCOPE, url, name: 'x', connectMs: 300 })).rejects.toThrow(
        /no NATS server answered.*Authorization Violation/i,
      );
    });
  });
});

test('without the binary the error says how to get it', async () => {
  await expect(startNatsServer({ folders: ['/nonexistent'] })).rejects.toThrow(
    /not installed.*apt-get install nats-server/,
  );
});
