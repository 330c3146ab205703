import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Process } from '@vfiolab/client';
import { readLabFile } from '@vfiolab/scenario';
import { findNatsServer, NatsBus } from '@vfiolab/shell';
import { applyPlan, endLab, keepLab, type KeptLab, labStatus } from './keep-lab.js';
import type { LabStatus } from './lab-status.js';
import { openLink, sleep } from '../open-link.js';

const withServer = findNatsServer() ? describe : describe.skip;
const MINUTE = 60_000;

withServer('a lab that stays (skipped when nats-server is not installed)', () => {
  const dir = mkdtempSync(join(tmpdir(), 'vfl-'));
  const file = join(dir, 'lab.yaml');
  const CLIENTS = '[first, second, third, fourth, fifth, sixth, seventh, eighth, ninth, tenth]';
  const HOST = 'host: { machine: asus-fx505dt, memory: 8GiB }';
  const plan = (instances: string, hosts: string) => {
    writeFileSync(
      file,
      `vfiolab: lab/1\nname: t\ndata: d\nclients: ${CLIENTS}\ninstances: ${instances}\nhosts: ${hosts}\n`,
    );
    return readLabFile(file);
  };
  let kept: KeptLab;
  afterAll(async () => {
    await kept?.end();
    rmSync(dir, { recursive: true, force: true });
  }, MINUTE);

  const where = ({ hosts }: LabStatus): unknown[] =>
    hosts.map(({ name, instance, epoch, problems }) => [name, instance, epoch, problems]);
  const status = async (): Promise<LabStatus> => (await labStatus(readLabFile(file)))!;

  async function connected(host: string, client: string): Promise<NatsBus> {
    const { nats: url, data } = await status();
    const keyFile = join(data, 'keys', `client.${client}.nk`);
    return NatsBus.connect({ url, tenant: 'default', lab: 't', host, name: 'test', keyFile });
  }

  /** A program on a host of the lab; `pid` shows how many there were before it. */
  async function program(host: string, name: string): Promise<number> {
    const bus = await connected(host, name);
    const { link, close } = openLink(bus, name);
    const started = await new Process(name, link).start();
    close();
    await bus.close();
    if (!started.ok) throw new Error(started.errno);
    return started.value.pid;
  }

  it(
    'comes up as its file says, hosts spread over the instances, and nobody else gets in',
    async () => {
      const two = plan('{ a: {}, b: {} }', `{ h1: { ${HOST} }, h2: { ${HOST} }, h3: { ${HOST}, instance: b } }`);
      expect(await labStatus(two)).toBeUndefined();
      kept = await keepLab(two);
      expect(where(await status())).toEqual([
        ['h1', 'a', 1, []],
        ['h2', 'a', 1, []],
        ['h3', 'b', 1, []],
      ]);
      expect(statSync(join(dir, 'd')).mode & 0o777).toBe(0o700);
      expect(statSync(join(dir, 'd', 'lab.sock')).mode & 0o777).toBe(0o600);
      await expect(keepLab(two)).rejects.toThrow(/a lab is up in .*\/d already/);
      await program('h1', 'first');
    },
    3 * MINUTE,
  );

  it(
    'a host moves with its journals; the plan may be applied again',
    async () => {
      const moved = plan('{ a: {}, b: {} }', `{ h1: { ${HOST}, instance: b }, h2: { ${HOST} }, h3: { ${HOST} } }`);
      const before = await program('h1', 'second');
      expect(await applyPlan(moved)).toBe(true);
      expect(await applyPlan(moved)).toBe(true);
      expect(where(await status())).toEqual([
        ['h1', 'b', 2, []],
        ['h2', 'a', 1, []],
        ['h3', 'b', 1, []],
      ]);
      expect(await program('h1', 'third')).toBe(before + 1);
    },
    MINUTE,
  );

  it(
    'a process that dies is started again, and its hosts go on',
    async () => {
      const before = await program('h1', 'fourth');
      const pages = (await status()).instances[1]!.processes.find(({ service }) => service === 'pages')!;
      process.kill(pages.pid!, 'SIGKILL');
      expect(await program('h1', 'fifth')).toBe(before + 1);
      const again = (await status()).instances[1]!.processes.find(({ service }) => service === 'pages')!;
      expect(again).toMatchObject({ restarts: 1, running: true, lastEnd: 'the pages service ended with SIGKILL' });
    },
    MINUTE,
  );

  it(
    'instances come and go while it runs; what they served is served by the others',
    async () => {
      const before = await program('h2', 'sixth');
      expect(await applyPlan(plan('{ b: {}, c: { hosts: 3 } }', `{ h1: { ${HOST} }, h2: { ${HOST} } }`))).toBe(true);
      expect(where(await status())).toEqual([
        ['h1', 'b', 2, []],
        ['h2', 'c', 2, []],
      ]);
      expect(await program('h2', 'seventh')).toBe(before + 1);
      // A host that was taken out and comes back has its journals still.
      expect(await applyPlan(plan('{ c: { hosts: 3 } }', `{ h1: { ${HOST} }, h3: { ${HOST} } }`))).toBe(true);
      expect(where(await status())).toEqual([
        ['h1', 'c', 3, []],
        ['h3', 'c', 3, []],
      ]);
    },
    2 * MINUTE,
  );

  it(
    'what cannot be is refused in words, and changes nothing',
    async () => {
      const before = where(await status());
      const other = 'host: { machine: asus-fx505dt, memory: 4GiB }';
      await expect(applyPlan(plan('{ c: { hosts: 3 } }', `{ h1: { ${other} } }`))).rejects.toThrow(
        'host h1: a host that was made cannot change. Give the new one another name.',
      );
      expect(where(await status())).toEqual(before);
    },
    MINUTE,
  );

  it(
    'the server comes back when it is lost',
    async () => {
      const bus = await connected('h1', 'first');
      const { server_id: id } = bus.connection.info!;
      process.kill((await status()).natsPid!, 'SIGKILL');
      for (let n = 0; n < 100 && [undefined, id].includes(bus.connection.info?.server_id); n++) await sleep(100);
      await bus.close();
      expect(await program('h1', 'eighth')).toBeGreaterThan(0);
    },
    MINUTE,
  );

  it(
    'ends when asked, and goes on where it was',
    async () => {
      const now = plan('{ c: { hosts: 3 } }', `{ h1: { ${HOST} }, h3: { ${HOST} } }`);
      const before = await program('h1', 'ninth');
      expect(await endLab(now)).toBe(true);
      await kept.ended;
      expect(await endLab(now)).toBe(false);
      kept = await keepLab(now);
      expect(where(await status())).toEqual([
        ['h1', 'c', 3, []],
        ['h3', 'c', 3, []],
      ]);
      expect(await program('h1', 'tenth')).toBe(before + 1);
    },
    2 * MINUTE,
  );
});
