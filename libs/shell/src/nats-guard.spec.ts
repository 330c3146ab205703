import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NatsBus } from './nats-bus.js';
import type { BusEvent } from './nats-line.js';
import { GUARD_LIMITS, guardConfig, KeyFolder } from './nats-guard.js';
import { findNatsServer, type NatsServer, startNatsServer } from './nats-server.js';
import { clientPermissions, operatorPermissions } from './nats-subjects.js';
import { until } from './testing/rig.js';

const dir = mkdtempSync(join(tmpdir(), 'vfiolab-guard-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

test('a key is made once, in a file that nobody else reads', () => {
  const keys = new KeyFolder(join(dir, 'once'));
  const key = keys.publicOf('pages');
  expect(key).toMatch(/^U[A-Z2-7]{55}$/);
  expect([keys.publicOf('pages'), new KeyFolder(join(dir, 'once')).publicOf('pages')]).toEqual([key, key]);
  expect(keys.publicOf('iommu')).not.toBe(key);
  expect([statSync(join(dir, 'once')), statSync(keys.fileOf('pages'))].map(({ mode }) => mode & 0o777)).toEqual([
    0o700, 0o600,
  ]);
});

(findNatsServer() ? describe : describe.skip)('on a server (skipped when nats-server is not installed)', () => {
  const SCOPE = { tenant: 'a', lab: 'l', host: 'h' };
  const keys = new KeyFolder(join(dir, 'keys'));
  const servers: NatsServer[] = [];
  afterAll(() => Promise.all(servers.map((server) => server.stop())));
  const start = async (limits = GUARD_LIMITS): Promise<NatsServer> => {
    const client = (tenant: string) => ({
      key: keys.publicOf(`${tenant}-vmm`),
      permissions: clientPermissions({ ...SCOPE, tenant }, 'client:vmm', 'lab'),
    });
    const operator = { key: keys.publicOf('operator'), permissions: operatorPermissions(SCOPE) };
    // An account that may use every subject: even so it does not meet the others.
    const all = { key: keys.publicOf('all'), permissions: { publish: ['>'], subscribe: ['>'] } };
    const config = guardConfig({ a: [client('a'), operator], b: [client('b')], c: [all] }, limits);
    const server = await startNatsServer({ config });
    servers.push(server);
    return server;
  };
  const enter = (server: NatsServer, name: string, onEvent = (_: BusEvent): void => undefined, tenant = 'a') =>
    NatsBus.connect({ ...SCOPE, tenant, url: server.url, name, keyFile: keys.fileOf(name), onEvent });

  test('tenants do not meet, whatever subjects they may use', async () => {
    const server = await start();
    const heard: string[] = [];
    const [a, c] = [await enter(server, 'a-vmm'), await enter(server, 'all')];
    a.attach('client:vmm', (from) => heard.push(from));
    await a.connection.flush();
    c.send('pages', 'client:vmm', new Uint8Array(1));
    await c.connection.flush();
    const operator = await enter(server, 'operator');
    operator.send('client:x', 'client:vmm', new Uint8Array(1));
    await until('the frame of the own account', () => heard.length > 0);
    expect(heard).toEqual(['client:x']);
    await Promise.all([a, c, operator].map((bus) => bus.close()));
  }, 20_000);

  test('the key of one tenant opens nothing under the name of another', async () => {
    const server = await start();
    const events: BusEvent[] = [];
    const b = await enter(server, 'b-vmm', (event) => events.push(event), 'a');
    b.send('client:vmm', 'pages', new Uint8Array(1));
    await until('the refusal', () => events.length > 0);
    expect(events[0]).toMatchObject({ kind: 'forbidden', subject: 'vfl.a.l.h.pages._.client.vmm' });
    await b.close();
  }, 20_000);

  test('one connection more than the limit is refused, and one subscription more', async () => {
    const server = await start({ ...GUARD_LIMITS, connections: 1, subscriptions: 4 });
    const events: BusEvent[] = [];
    const c = await enter(server, 'all', (event) => events.push(event));
    const more = NatsBus.connect({ ...SCOPE, url: server.url, name: 'x', keyFile: keys.fileOf('all'), connectMs: 300 });
    await expect(more).rejects.toThrow(/no NATS server answered/);
    for (let n = 0; n < 8; n++) c.connection.subscribe(`s${n}`, { callback: () => undefined });
    await until('the refusal', () => events.length > 0);
    await c.close();
  }, 20_000);

  test('a reader that does not read is dropped, and the others read on', async () => {
    const server = await start({ ...GUARD_LIMITS, pending: 1024 * 1024, writeSeconds: 1 });
    const events: BusEvent[] = [];
    const slow = await enter(server, 'all', (event) => events.push(event));
    const { protocol } = slow.connection as unknown as {
      protocol: { transport: { socket: Socket } };
    };
    slow.connection.subscribe('news', { callback: () => undefined });
    await slow.connection.flush();
    protocol.transport.socket.pause();
    const [reader, writer] = [await enter(server, 'all'), await enter(server, 'all')];
    let read = 0;
    reader.connection.subscribe('news', { callback: () => read++ });
    await reader.connection.flush();
    const COUNT = 200;
    for (let n = 0; n < COUNT; n++) {
      writer.connection.publish('news', new Uint8Array(200_000));
      await writer.connection.flush();
    }
    await until('all were read', () => read === COUNT, 15_000);
    protocol.transport.socket.resume();
    await until(
      'the slow one learns that it was dropped',
      () => events.some(({ kind }) => kind === 'disconnected'),
      15_000,
    );
    await Promise.all([reader, writer, slow].map((bus) => bus.close()));
  }, 40_000);

  const openssl = (() => {
    try {
      execFileSync('openssl', ['version'], { stdio: 'ignore' });
      return true;
    } catch {
      return false;
    }
  })();

  (openssl ? test : test.skip)(
    'tls:// is TLS or nothing, from somebody that is vouched for',
    async () => {
      const [cert, key] = [join(dir, 'cert.pem'), join(dir, 'key.pem')];
      execFileSync(
        'openssl',
        `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=lab -addext subjectAltName=DNS:localhost -keyout ${key} -out ${cert}`.split(
          ' ',
        ),
        { stdio: 'ignore' },
      );
      const secure = await startNatsServer({
        config: `tls: { cert_file: ${JSON.stringify(cert)}, key_file: ${JSON.stringify(key)} }`,
      });
      servers.push(secure);
      const tls = (server: NatsServer): string => server.url.replace('nats://127.0.0.1', 'tls://localhost');
      const open = (url: string, caFile?: string) =>
        NatsBus.connect({ ...SCOPE, url, name: 'x', connectMs: 1500, ...(caFile && { caFile }) });
      await (await open(tls(secure), cert)).close();
      await expect(open(tls(secure))).rejects.toThrow(/no NATS server answered/);
      const plain = await startNatsServer();
      servers.push(plain);
      await expect(open(tls(plain), cert)).rejects.toThrow(/no NATS server answered/);
    },
    30_000,
  );
});
