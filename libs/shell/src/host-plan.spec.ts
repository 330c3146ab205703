import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type FaultEdge, type JournalPort, MAX_WAITING } from '@vfiolab/core';
import type { ActorHost } from './actor-host.js';
import { changePlan, FaultsController } from './faults.controller.js';
import { FaultStore } from './fault-store.js';
import { MemoryBus } from './memory-bus.js';
import type { ServedHosts } from './served-hosts.js';
import { counterApi } from './testing/counter-core.js';
import { Rig, sumOf, until } from './testing/rig.js';
import { FullDisk, Troubles } from './troubles.js';
import { TurnScheduler } from './turn-scheduler.js';

let rig: Rig;
let bus: MemoryBus;
beforeEach(() => {
  rig = new Rig();
  bus = new MemoryBus(new TurnScheduler());
});
afterEach(() => rig.stop());

const stateOf = (host: ActorHost, address: string): string =>
  host.states().find((each) => each.address === address)!.state;

test.each(['requests', 'answers'] as const)(
  'killed at its %s: comes back, and everything is done once',
  async (at) => {
    const host = await rig.host(bus);
    const caller = rig.client(bus);
    await host.serving('iommu');
    changePlan(host.plan.edge, { add: { dies: { crash: 'pages', at, nth: 2, times: 2, for: '20ms' } } });
    for (let i = 1; i <= 6; i++) expect(await caller.call('iommu', counterApi.addBoth, { by: 1 })).toBe(i);
    await host.plan.mended();
    expect([sumOf(host, 'pages'), sumOf(host, 'iommu'), rig.failures]).toEqual([6, 6, []]);
    expect(host.plan.edge.status()).toMatchObject([{ fired: 2 }]);
  },
  20_000,
);

test('paused: nothing is answered, what is for it waits, and then it goes on', async () => {
  const host = await rig.host(bus);
  const caller = rig.client(bus);
  await host.serving('pages');
  changePlan(host.plan.edge, { add: { rests: { pause: 'pages', for: '60s' } } });
  await until('it is paused', () => host.plan.isPaused('pages'));
  const answer = caller.call('pages', counterApi.add, { by: 1 });
  const early = await Promise.race([answer, new Promise((resolve) => setTimeout(() => resolve('nothing'), 200))]);
  expect([early, sumOf(host, 'pages')]).toEqual(['nothing', 0]);
  changePlan(host.plan.edge, { clear: 'all' });
  expect([await answer, host.plan.isPaused('pages')]).toEqual([1, false]);
});

test('a full disk: read-only, with a reason, and then it goes on', async () => {
  const host = await rig.host(bus);
  const caller = rig.client(bus);
  await host.serving('pages');
  changePlan(host.plan.edge, { add: { full: { 'fill-disk': 'pages', for: '60s' } } });
  const answer = caller.call('pages', counterApi.add, { by: 1 });
  await until('it is read-only', () => stateOf(host, 'pages') === 'read-only');
  changePlan(host.plan.edge, { clear: ['full'] });
  expect([await answer, stateOf(host, 'pages')]).toEqual([1, 'serving']);
});

test('a journal on a full disk takes nothing and keeps what it has', () => {
  const did: string[] = [];
  let full = true;
  const note = (what: string) => () => void did.push(what);
  const inner = { append: note('append'), saveSnapshot: note('snapshot'), close: note('close') };
  const disk = new FullDisk(inner as unknown as JournalPort, () => full);
  expect(() => disk.append({ seq: 1, body: new Uint8Array() }, [])).toThrow('a fault plan has filled the disk');
  expect(() => disk.saveSnapshot({ seq: 1, state: new Uint8Array() })).toThrow('a fault plan has filled the disk');
  full = false;
  disk.append({ seq: 1, body: new Uint8Array() }, []);
  disk.close();
  expect(did).toEqual(['append', 'close']);
});

test('the last of two troubles ends it; so many frames wait at most', () => {
  const handed: string[] = [];
  const troubles = new Troubles((to) => void handed.push(to));
  troubles.set('pause', 'device', true);
  troubles.set('pause', 'device', true);
  troubles.set('pause', 'device', false);
  const frame = new Uint8Array();
  for (let i = 0; i < MAX_WAITING + 1; i++) expect(troubles.keepsWaiting('device:a', 'client:b', frame)).toBe(true);
  expect([troubles.keepsWaiting('pages', 'client:b', frame), handed]).toEqual([false, []]);
  troubles.set('pause', 'device', false);
  expect(handed).toHaveLength(MAX_WAITING);
});

test('a plan on disk goes on after a restart; one that cannot be read is forgotten', async () => {
  const file = join(rig.dir, 'plans', 'pages.faults');
  const faults = new FaultStore(file);
  const host = await rig.host(bus, ['lab'], { faults });
  changePlan(host.plan.edge, { add: { lag: { delay: 'requests', by: '5ms' } } });
  await host.stop();
  const again = await rig.host(bus, ['lab'], { faults });
  expect(again.plan.edge.status()).toMatchObject([{ name: 'lag' }]);
  changePlan(again.plan.edge, { clear: 'all' });
  expect(existsSync(file)).toBe(false);
  await again.stop();
  for (const text of [
    '{',
    '{"rules":[{"name":"a","raw":{"drop":1},"since":0,"tallies":[]}],"refused":[],"known":[]}',
  ]) {
    writeFileSync(file, text);
    const third = await rig.host(bus, ['lab'], { faults });
    expect([third.plan.edge.status(), third.plan.edge.active]).toEqual([[], false]);
    await third.stop();
  }
});

describe('what operators ask', () => {
  const controller = (edge: FaultEdge): FaultsController => {
    const home = { plan: { edge } };
    return new FaultsController({
      home,
      of: (host: string) => (host === 'h1' ? home : undefined),
    } as unknown as ServedHosts);
  };
  const edgeOf = async (): Promise<FaultEdge> => (await rig.host(bus, ['lab'])).plan.edge;

  test('rules are added, listed and cleared, of the home or of a host', async () => {
    const faults = controller(await edgeOf());
    const add = { a: { drop: 'requests', times: 1 } };
    expect(faults.faults({ host: 'h1', add })).toMatchObject([{ name: 'a' }]);
    expect(faults.faults({ release: ['a'] })).toHaveLength(1);
    expect(faults.faults(undefined)).toHaveLength(1);
    expect(faults.faults({ clear: 'all' })).toEqual([]);
  });

  test.each<[unknown, string]>([
    [{ host: 'h2' }, "host 'h2' is not served here"],
    [{ add: [] }, 'rules by name are wanted'],
    [{ add: { a: { drop: 'requests' } } }, 'it would never end'],
    [{ add: { a: null } }, 'no rule'],
    [{ clear: 'a' }, 'a list of names'],
    [{ release: [1] }, 'a list of names'],
  ])('%j is refused', async (data, why) => {
    const faults = controller(await edgeOf());
    expect(() => faults.faults(data)).toThrow(why);
  });
});
