import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { type Address, LAB, type Method } from '@vfiolab/core';
import { ActorHost } from './actor-host.js';
import { HostList } from './host-list.js';
import { JournalFolder } from './journal-folder.js';
import { MemoryBus } from './memory-bus.js';
import { HostRefused, ServedHosts } from './served-hosts.js';
import type { ShellConfig } from './shell-config.js';
import { counterApi, testCores } from './testing/counter-core.js';
import { Rig, until } from './testing/rig.js';
import { TurnScheduler } from './turn-scheduler.js';

/** What `--expose-gc` gives. */
setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

let rig: Rig;
let dir: string;
let clients = 0;
const running: ServedHosts[] = [];
beforeEach(() => {
  rig = new Rig();
  dir = mkdtempSync(join(tmpdir(), 'vfiolab-hosts-'));
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((hosts) => hosts.stop()));
  await rig.stop();
  rmSync(dir, { recursive: true, force: true });
});

const config = (more: Partial<ShellConfig> = {}): ShellConfig => ({
  tenant: 't',
  lab: 'l',
  host: 'home',
  nats: undefined,
  data: dir,
  durability: 'process',
  record: false,
  hosts: 3,
  ...more,
});
const folderOf = (host: string): string => join(dir, 't', 'l', host);

/** A process that serves `most` hosts, each on a bus of its own. */
function open({ durability = 'process' as ShellConfig['durability'], most = 3 } = {}) {
  const buses = new Map<string, MemoryBus>();
  const failed: string[] = [];
  const make = (host: string): ActorHost => {
    const scheduler = new TurnScheduler();
    const bus = new MemoryBus(scheduler);
    buses.set(host, bus);
    return new ActorHost({
      bus,
      scheduler,
      actors: [LAB, 'pages'],
      cores: testCores,
      journals: new JournalFolder(config({ host, durability })).open,
      onFailed: (address: Address) => failed.push(`${host} ${address}`),
    });
  };
  const hosts = new ServedHosts({
    home: 'home',
    most,
    make,
    list: new HostList(config({ durability }), 'pages'),
    onUnrecovered: (host, error) => failed.push(`${host}: ${error.message}`),
  });
  running.push(hosts);
  const call = <A>(host: string, method: Method<A, number>, args: A): Promise<number> =>
    rig.client(buses.get(host)!, `client:c${++clients}`).call('pages', method, args);
  const add = (host: string, by: number): Promise<number> => call(host, counterApi.add, { by });
  return { hosts, add, call, failed };
}

test('hosts have states of their own, in folders of their own', async () => {
  const { hosts, add } = open();
  await hosts.start();
  await Promise.all([hosts.serve('a'), hosts.serve('b')]);
  expect([await add('home', 1), await add('a', 10), await add('b', 100), await add('a', 10)]).toEqual([1, 10, 100, 20]);
  expect(hosts.names()).toEqual(['home', 'a', 'b']);
  expect(existsSync(join(folderOf('a'), 'pages.db'))).toBe(true);
});

test('as many hosts as are allowed, and not one more; who goes makes room', async () => {
  const { hosts } = open({ most: 3 });
  await hosts.start();
  await hosts.serve('a');
  await hosts.serve('b');
  await expect(hosts.serve('c')).rejects.toThrow(
    /^c is not served: the process of home serves all 3 hosts that it may\. Release one, or raise VFIOLAB_HOSTS\.$/,
  );
  await expect(hosts.serve('c')).rejects.toThrow(HostRefused);
  expect(existsSync(folderOf('c'))).toBe(false);
  await hosts.release('a');
  await hosts.serve('c');
  expect(hosts.names()).toEqual(['home', 'b', 'c']);
});

test('asked twice it is served once, also at the same time; released twice it is gone once', async () => {
  const { hosts, add } = open({ most: 2 });
  await hosts.start();
  await Promise.all([hosts.serve('a'), hosts.serve('a'), hosts.serve('a')]);
  expect(await add('a', 5)).toBe(5);
  await hosts.serve('a');
  expect(await add('a', 5)).toBe(10);
  await Promise.all([hosts.release('a'), hosts.release('a')]);
  expect(hosts.names()).toEqual(['home']);
});

test('serve and release happen in the order in which they were asked for', async () => {
  const { hosts, add } = open({ most: 2 });
  await hosts.start();
  await Promise.all([hosts.serve('a'), hosts.release('a'), hosts.serve('a'), hosts.release('a'), hosts.serve('a')]);
  expect(hosts.names()).toEqual(['home', 'a']);
  expect(await add('a', 1)).toBe(1);
});

test.each(['', 'a.b', '*', '../x', 'a'.repeat(65)])("'%s' is no host", async (host) => {
  const { hosts } = open();
  await hosts.start();
  await expect(hosts.serve(host)).rejects.toThrow(/is no host: 1 to 64 letters/);
  await expect(hosts.release(host)).rejects.toThrow(/is no host: 1 to 64 letters/);
  expect(hosts.names()).toEqual(['home']);
});

test('the home cannot be released', async () => {
  const { hosts } = open();
  await hosts.start();
  await expect(hosts.release('home')).rejects.toThrow(/home is the home of this process/);
});

test('a released host has closed journals that stay, and goes on with them when it is served again', async () => {
  const { hosts, add } = open();
  await hosts.start();
  await hosts.serve('a');
  await add('a', 7);
  const former = hosts.of('a')!;
  await hosts.release('a');
  expect(hosts.of('a')).toBeUndefined();
  expect(former.states().map((s) => s.state)).toEqual(['killed', 'killed']);
  expect(readdirSync(folderOf('a')).sort()).toEqual(['lab.db', 'pages.db']);
  await hosts.serve('a');
  expect(await add('a', 1)).toBe(8);
});

test.each(['process', 'power'] as const)(
  'durability %s: started again a process serves what it served, and not what it released',
  async (durability) => {
    const first = open({ durability });
    await first.hosts.start();
    await first.hosts.serve('a');
    await first.hosts.serve('b');
    await first.add('a', 3);
    await first.hosts.release('b');
    await first.hosts.stop();
    const second = open({ durability });
    await second.hosts.start();
    expect(second.hosts.names()).toEqual(['home', 'a']);
    expect(await second.add('a', 1)).toBe(4);
    await second.hosts.stop();
    const third = open({ durability, most: 1 });
    await expect(third.hosts.start()).rejects.toThrow(/2 hosts are to be served, but at most 1.*VFIOLAB_HOSTS to 2/);
  },
);

test('a host that cannot be recovered is not served, and the others are', async () => {
  mkdirSync(folderOf('a'), { recursive: true });
  writeFileSync(join(folderOf('a'), 'pages.db'), 'this is no journal');
  const { hosts, add } = open();
  await hosts.start();
  await expect(hosts.serve('a')).rejects.toThrow(/pages\.db/);
  expect(hosts.names()).toEqual(['home']);
  expect(existsSync(join(folderOf('a'), 'pages.serving'))).toBe(false);
  expect(await add('home', 1)).toBe(1);
});

test('damage in one host is complained about after a start, and the others are served; mended, it is served again', async () => {
  const first = open();
  await first.hosts.start();
  await first.hosts.serve('a');
  await first.hosts.serve('b');
  await first.add('b', 2);
  await first.hosts.stop();
  const file = join(folderOf('a'), 'pages.db');
  const whole = readFileSync(file);
  writeFileSync(file, 'this is no journal');
  const second = open();
  await second.hosts.start();
  expect(second.failed).toEqual([expect.stringMatching(/^a: .*pages\.db/s)]);
  expect(second.hosts.names()).toEqual(['home', 'b']);
  expect(await second.add('b', 1)).toBe(3);
  await second.hosts.stop();
  writeFileSync(file, whole);
  const third = open();
  await third.hosts.start();
  expect([third.hosts.names(), third.failed]).toEqual([['home', 'a', 'b'], []]);
});

test('an actor that fails takes no other host with it', async () => {
  const { hosts, add, call, failed } = open();
  await hosts.start();
  await hosts.serve('a');
  await add('a', 2);
  void call('a', counterApi.blunder, {}).catch(() => undefined);
  await until('the actor has failed', () => failed.length > 0);
  expect(failed).toEqual(['a pages']);
  expect(await add('home', 1)).toBe(1);
});

test('where nothing is kept, nothing is on disk and a host that comes again is new', async () => {
  const { hosts, add } = open({ durability: 'none' });
  await hosts.start();
  await hosts.serve('a');
  expect(await add('a', 4)).toBe(4);
  await hosts.release('a');
  await hosts.serve('a');
  expect(await add('a', 1)).toBe(1);
  expect(readdirSync(dir)).toEqual([]);
});

test('of hundreds of hosts one after another nothing is left: no timer, receiver or memory', async () => {
  const { hosts, add } = open({ durability: 'none' });
  await hosts.start();
  const gone: WeakRef<ActorHost>[] = [];
  for (let i = 0; i < 300; i++) {
    await hosts.serve(`h${i}`);
    gone.push(new WeakRef(hosts.of(`h${i}`)!));
    await hosts.release(`h${i}`);
  }
  expect(hosts.names()).toEqual(['home']);
  // The buses live on: a receiver that was left on one, or a timer, would hold its host.
  await until('they are collected', () => {
    collectGarbage();
    return gone.filter((host) => host.deref() !== undefined).length <= 1;
  });
  expect(await add('home', 1)).toBe(1);
}, 20_000);

test('a process that ends serves nobody new', async () => {
  const { hosts } = open();
  await hosts.start();
  await hosts.stop();
  await expect(hosts.serve('a')).rejects.toThrow(/is ending and serves no further host/);
});
