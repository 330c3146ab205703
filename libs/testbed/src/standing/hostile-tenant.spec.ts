/**
 * A hostile client against a lab as `vfiolab up` starts it: real service processes, a real server, the keys it is given.
 *
 * Rule: every attack ends with the same question: does the honest client still get right answers, and is nothing broken?
 */
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Process } from '@vfiolab/client';
import { bootApi, encodeFrame, groupsApi, IOMMUFD, LAB, labApi, PAGES, pagesApi, REQUEST, sysApi } from '@vfiolab/core';
import { readLabFile } from '@vfiolab/scenario';
import { type BusEvent, findNatsServer, frameSubject, NatsBus } from '@vfiolab/shell';
import { errnoNumber, IOMMU_IOAS_ALLOC } from '@vfiolab/uapi';
import { keepLab, type KeptLab } from './keep-lab.js';
import { openLink, type OpenLink, sleep } from '../open-link.js';

const withServer = findNatsServer() ? describe : describe.skip;
const MINUTE = 60_000;
const SCOPE = { tenant: 'default', lab: 't', host: 'h1' };
const EVIL = 'client:evil';
const EBADF = errnoNumber('EBADF');

withServer('a hostile tenant (skipped when nats-server is not installed)', () => {
  const dir = mkdtempSync(join(tmpdir(), 'vfl-'));
  const data = join(dir, 'd');
  const keyOf = (name: string): string => join(data, 'keys', `client.${name}.nk`);
  let lab: KeptLab;
  let url: string;
  let good: Process;
  let fd: number;
  let evil: NatsBus;
  let link: OpenLink['link'];
  const events: BusEvent[] = [];
  const closing: (() => unknown)[] = [];

  /** A connection with the key of a client, and what the server tells it. */
  async function enter(
    client: string,
    onEvent = (_: BusEvent): void => undefined,
    host = SCOPE.host,
  ): Promise<NatsBus> {
    const bus = await NatsBus.connect({ ...SCOPE, host, url, name: client, keyFile: keyOf(client), onEvent });
    closing.push(() => bus.close());
    return bus;
  }
  function speak(bus: NatsBus, client: string): OpenLink['link'] {
    const open = openLink(bus, client);
    closing.unshift(open.close);
    return open.link;
  }

  beforeAll(async () => {
    const file = join(dir, 'lab.yaml');
    const hosts = '{ h1: { host: { machine: asus-fx505dt, memory: 8GiB } } }';
    writeFileSync(file, `vfiolab: lab/1\nname: t\ndata: d\nclients: [good, evil, other]\nhosts: ${hosts}\n`);
    lab = await keepLab(readLabFile(file));
    url = (await lab.status()).nats;
    good = new Process('good', speak(await enter('good'), 'good'));
    await good.start();
    fd = ((await good.open('/dev/iommu')) as { value: number }).value;
    evil = await enter('evil', (event) => events.push(event));
    link = speak(evil, 'evil');
  }, 3 * MINUTE);
  afterAll(async () => {
    for (const close of closing) await close();
    await lab?.end();
    rmSync(dir, { recursive: true, force: true });
  }, MINUTE);
  beforeEach(() => events.splice(0));
  afterEach(async () => {
    expect((await good.ioctl(fd, IOMMU_IOAS_ALLOC)).errno).toBeUndefined();
    // What an attack has made begin, such as an actor for a device, may still be about to.
    let problems: readonly string[] = ['not asked'];
    for (let n = 0; n < 50 && problems.length > 0; n++) {
      problems = (await lab.status()).hosts[0]!.problems;
      if (problems.length > 0) await sleep(100);
    }
    expect(problems).toEqual([]);
  }, MINUTE);

  const forbidden = async (count: number): Promise<string[]> => {
    for (let n = 0; n < 200 && events.length < count; n++) await sleep(20);
    return events.map((event) => (event.kind === 'forbidden' ? event.operation : event.kind));
  };
  const iommufd = async (): Promise<Record<string, number>> => {
    const { figures } = await link.call(IOMMUFD, bootApi.inspect, undefined);
    return Object.fromEntries(figures.map(({ name, value }) => [name, value]));
  };
  /** The frame of a call, as the client library would send it. */
  const frameOf = (id: number): Uint8Array => {
    const header = { kind: REQUEST, flags: 0, epoch: 0, id, floor: 1, clock: 0, seen: 0, deadline: 0 };
    return encodeFrame({ ...header, method: bootApi.inspect.id }, bootApi.inspect.args, undefined);
  };
  const scope = 'vfl.default.t.h1';

  it('without a key there is no connection', async () => {
    const none = NatsBus.connect({ ...SCOPE, url, name: 'x', connectMs: 300 });
    await expect(none).rejects.toThrow(/no NATS server answered.*Authorization Violation/i);
  });

  it('it speaks as nobody else: no client, no service, no operator', async () => {
    for (const from of ['client:good', 'client:operator', 'iommufd', LAB]) evil.send(from, PAGES, frameOf(1));
    expect(await forbidden(4)).toEqual(['publish', 'publish', 'publish', 'publish']);
  });

  it('it hears nobody else: not what others are answered, and not what is said to services', async () => {
    for (const subject of [`${scope}.client.good.*.*`, `${scope}.pages.*.*.*`, 'vfl.>', '>', `${scope}.ctl-inbox.>`])
      evil.connection.subscribe(subject, { callback: () => undefined });
    expect(await forbidden(5)).toEqual(Array(5).fill('subscription'));
  });

  it('it does not reach the control plane of the processes', async () => {
    for (const subject of ['ctl.pages.release', 'ctl.pages.status', 'ctl.lab.serve'])
      evil.connection.publish(`${scope}.${subject}`, '{"host":"h1"}', { reply: `${scope}.ctl-inbox.x` });
    expect(await forbidden(3)).toEqual(['publish', 'publish', 'publish']);
  });

  it('the lab does for it what it does for a client, and nothing that is for operators', async () => {
    const registry = speak(await enter('evil', undefined, 'registry'), 'evil');
    expect(await registry.call(LAB, labApi.place, { host: 'h1', instance: 'x', known: 1 })).toMatchObject({
      errno: 'EPERM',
    });
    expect(await link.call(LAB, labApi.loadMachine, { part: 0, text: '' })).toMatchObject({ errno: 'EPERM' });
    // Ending another client is ignored: its file is asked after each test.
    await link.call(LAB, labApi.endClient, { client: 'client:good' });
    const setup = { frames: 1, pageShift: 12, hugetlb: undefined, powerpc: false } as never;
    await expect(link.call(PAGES, pagesApi.setup, setup)).rejects.toThrow(/only services may call it/);
    await expect(link.call('groups', groupsApi.vfioDevices, undefined)).rejects.toThrow(/only services may call it/);
    await expect(link.call(LAB, bootApi.register, { instance: 'x' })).rejects.toThrow(/only services may call it/);
  });

  it('a file descriptor of another is worth nothing, known or guessed, and nobody shows one', async () => {
    const { token } = good.fileOf(fd);
    const neighbour = (of: string): string => of.slice(0, -1) + String.fromCharCode(of.charCodeAt(of.length - 1) ^ 1);
    const use = (what: string) =>
      link.call(IOMMUFD, sysApi.ioctl, { token: what, cmd: 0x3b81, arg: 4096, segments: [], fds: [] });
    for (const what of [token, neighbour(token), '\0'.repeat(token.length), 'f'.repeat(token.length)])
      expect([what, await use(what)]).toMatchObject([what, { errno: EBADF }]);
    for (const service of [IOMMUFD, PAGES, 'groups', LAB, 'iommu', 'container']) {
      const { lines } = await link.call(service, bootApi.inspect, undefined);
      expect(lines.join('\n')).not.toContain(token);
    }
  });

  it('a closed file descriptor is worth nothing either', async () => {
    const own = new Process('evil', link);
    await own.start();
    const opened = (await own.open('/dev/iommu')) as { value: number };
    const { token } = own.fileOf(opened.value);
    await own.close(opened.value);
    const used = await link.call(IOMMUFD, sysApi.ioctl, { token, cmd: 0x3b81, arg: 4096, segments: [], fds: [] });
    expect(used.errno).toBe(EBADF);
  });

  it('a frame that is sent again does nothing again', async () => {
    const { contexts } = await iommufd();
    const sent: Uint8Array[] = [];
    const bus = await enter('other');
    const open = openLink(
      {
        ...bus,
        attach: bus.attach.bind(bus),
        send: (from: string, to: string, frame: Uint8Array) => {
          if (to === IOMMUFD) sent.push(frame.slice());
          bus.send(from, to, frame);
        },
      } as unknown as NatsBus,
      'other',
    );
    const own = new Process('other', open.link);
    await own.start();
    await own.open('/dev/iommu');
    for (let n = 0; n < 100; n++) for (const frame of sent) bus.send('client:other', IOMMUFD, frame);
    await bus.connection.flush();
    expect((await iommufd())['contexts']).toBe((contexts ?? 0) + 1);
    open.close();
  });

  it(
    'frames that are cut, empty, or noise are dropped',
    async () => {
      const whole = frameOf(7);
      for (const to of [IOMMUFD, PAGES, 'groups', LAB, 'iommu', 'container', 'device:0000:01:00_0']) {
        for (let length = 0; length < whole.length; length++) evil.send(EVIL, to, whole.slice(0, length));
        for (let n = 0; n < 200; n++)
          evil.send(
            EVIL,
            to,
            Uint8Array.from({ length: n }, (_, i) => (i * n * 31 + n) & 0xff),
          );
      }
      await evil.connection.flush();
    },
    MINUTE,
  );

  it('an answer is sent to who asked, wherever the frame wants it', async () => {
    const heard: string[] = [];
    const victim = await enter('good');
    victim.connection.subscribe(`${scope}.client.good.*.*`, { callback: (_e, { subject }) => heard.push(subject) });
    await victim.connection.flush();
    const subject = frameSubject(scope, PAGES, EVIL);
    evil.connection.publish(subject, frameOf(900), { reply: `${scope}.client.good.${'pages._'}` });
    await link.call(PAGES, bootApi.inspect, undefined);
    await victim.connection.flush();
    expect(heard).toEqual([]);
  });

  it(
    'a message beyond the limit costs it its connection and nobody else anything',
    async () => {
      const lost: string[] = [];
      const big = await enter('other', ({ kind }) => lost.push(kind));
      const { protocol } = big.connection as unknown as { protocol: { transport: { send(b: Uint8Array): void } } };
      protocol.transport.send(Buffer.from(`PUB ${frameSubject(scope, PAGES, 'client:other')} 9000000\r\n`));
      for (let n = 0; n < 200 && !lost.includes('disconnected'); n++) await sleep(20);
      expect(lost).toContain('disconnected');
    },
    MINUTE,
  );

  it(
    'a flood of calls without end leaves the others their answers',
    async () => {
      const until = Date.now() + 3000;
      let id = 10_000;
      const flood = (async () => {
        while (Date.now() < until) {
          for (let n = 0; n < 500; n++) evil.send(EVIL, IOMMUFD, frameOf(id++));
          await sleep(1);
        }
      })();
      for (let n = 0; n < 5; n++) expect((await good.ioctl(fd, IOMMU_IOAS_ALLOC)).errno).toBeUndefined();
      await flood;
    },
    2 * MINUTE,
  );

  it('nobody but the user who runs the lab reads journals, keys and sockets', () => {
    const modes = new Set<string>();
    const walk = (path: string): void => {
      for (const entry of readdirSync(path, { withFileTypes: true })) {
        const at = join(path, entry.name);
        modes.add(`${entry.isDirectory() ? 'folder' : 'file'} ${(statSync(at).mode & 0o777).toString(8)}`);
        if (entry.isDirectory()) walk(at);
      }
    };
    walk(data);
    expect([...modes].sort()).toEqual(['file 600', 'folder 700']);
  });
});
