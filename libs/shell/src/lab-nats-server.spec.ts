import { LabNatsServer } from './lab-nats-server.js';
import { NatsBus } from './nats-bus.js';
import { findNatsServer, type NatsServer, startNatsServer } from './nats-server.js';

const withServer = findNatsServer() ? describe : describe.skip;

withServer('control requests through Nest (skipped when nats-server is not installed)', () => {
  let server: NatsServer;
  let bus: NatsBus;
  let strategy: LabNatsServer;

  beforeAll(async () => {
    server = await startNatsServer();
    bus = await NatsBus.connect({ tenant: 't', lab: 'l', host: 'h', url: server.url, name: 'test' });
    strategy = new LabNatsServer(bus, 'pages');
    strategy.addHandler('echo', async (data) => data);
    strategy.addHandler('nothing', async () => undefined);
    strategy.addHandler('bigint', async () => 1n);
    strategy.addHandler('broken', async () => Promise.reject(new Error('no such actor')));
    await new Promise((resolve) => strategy.listen(resolve));
  });
  afterAll(async () => {
    strategy.close();
    await bus.close();
    await server.stop();
  });

  test('a handler gets the data and its answer comes back', async () => {
    expect(await bus.control('pages', 'echo', { a: [1, 'x'] })).toEqual({ a: [1, 'x'] });
    expect(await bus.control('pages', 'nothing', 1)).toBeNull();
  });

  test('an answer that JSON cannot hold is answered with that, not with silence', async () => {
    await expect(bus.control('pages', 'bigint', null)).rejects.toThrow(
      /pages.bigint: the answer is not JSON: .*BigInt/,
    );
  });

  test('a handler that fails is answered with its error', async () => {
    await expect(bus.control('pages', 'broken', null)).rejects.toThrow(/pages.broken: no such actor/);
  });

  test('bytes that are no JSON are answered with that', async () => {
    const answer = await bus.connection.request(`${bus.scope}.ctl.pages.echo`, 'not json', { timeout: 2000 });
    expect(answer.json()).toEqual({ err: expect.stringMatching(/JSON/) });
  });

  test('an answer wanted outside of the control inbox is not given, and counted', async () => {
    const heard: string[] = [];
    const elsewhere = bus.connection.subscribe('vfl.t.l.h.pages._.lab._', {
      callback: (_e, m) => heard.push(m.subject),
    });
    bus.connection.publish(`${bus.scope}.ctl.pages.echo`, '1', { reply: 'vfl.t.l.h.pages._.lab._' });
    bus.connection.publish(`${bus.scope}.ctl.pages.echo`, '1');
    await bus.control('pages', 'echo', null);
    expect(strategy.refused).toBe(2);
    expect(heard).toEqual([]);
    elsewhere.unsubscribe();
  });
});
