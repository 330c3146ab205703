import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import {
  bootApi,
  type Core,
  decodeInputs,
  encodeFrame,
  EVENT,
  JournalFull,
  LAB,
  Machine,
  recordHeader,
} from '@vfiolab/core';
import { HOST_LIMITS, MAX_ACTORS, MAX_EARLY } from './actor-host.js';
import { readJournal } from './journal-file.js';
import { MemoryBus } from './memory-bus.js';
import { openJournal } from './sqlite-journal.js';
import { CounterCore, counterApi, testCores, type TestLabCore } from './testing/counter-core.js';
import { callAll, Rig, sumOf, UnreliableBus, until } from './testing/rig.js';
import { TurnScheduler } from './turn-scheduler.js';

let rig: Rig;
let bus: UnreliableBus;
beforeEach(() => {
  rig = new Rig();
  bus = new UnreliableBus(new MemoryBus(new TurnScheduler()));
});
afterEach(() => rig.stop());

const ones = (n: number): { by: number }[] => Array.from({ length: n }, () => ({ by: 1 }));

test('a request is answered by the actor that it was sent to', async () => {
  const host = await rig.host(bus);
  expect(await callAll(rig.client(bus), 'pages', counterApi.add, ones(3))).toEqual([1, 2, 3]);
  expect(host.states()).toEqual([LAB, 'pages', 'iommu'].map((address) => ({ address, state: 'serving' })));
});

test('requests in flight together are journaled in one record', async () => {
  const host = await rig.host(bus);
  const caller = rig.client(bus);
  await caller.call('pages', counterApi.add, { by: 1 });
  await callAll(caller, 'pages', counterApi.add, ones(64));
  await host.stop();
  const reading = await readJournal(rig.fileOf('pages'));
  const inputs = [...reading.records()].map((r) => recordHeader(r.body).inputs);
  expect(Math.max(...inputs)).toBe(64);
  await reading.close();
});

test('every frame doubled: each request is executed once', async () => {
  const host = await rig.host(bus);
  bus.fate = () => 2;
  const sums = await callAll(rig.client(bus), 'iommu', counterApi.addBoth, ones(50));
  expect(sums).toEqual(Array.from({ length: 50 }, (_, i) => i + 1));
  expect([sumOf(host, 'pages'), sumOf(host, 'iommu')]).toEqual([50, 50]);
});

test('every second frame lost: each request is executed once', async () => {
  const host = await rig.host(bus, undefined, { limits: { ...HOST_LIMITS, retryMs: 5, retryMaxMs: 40 } });
  await host.serving('iommu');
  let seed = 1;
  bus.fate = () => ((seed = (seed * 48271) % 2147483647) & 64 ? 1 : 0);
  await callAll(rig.client(bus), 'iommu', counterApi.addBoth, ones(20));
  expect([sumOf(host, 'pages'), sumOf(host, 'iommu')]).toEqual([20, 20]);
}, 20_000);

test('an actor killed in the middle of an operation finishes it once when it is revived', async () => {
  const host = await rig.host(bus);
  await host.serving('iommu');
  const caller = rig.client(bus);
  bus.fate = (from, to) => (from === 'pages' && to === 'iommu' ? 0 : 1);
  const answer = caller.call('iommu', counterApi.addBoth, { by: 5 });
  await until('pages has added', () => sumOf(host, 'pages') === 5);
  host.kill('iommu');
  expect(host.states()).toContainEqual({ address: 'iommu', state: 'killed' });
  bus.fate = () => 1;
  await host.revive('iommu');
  expect(await answer).toBe(5);
  expect([sumOf(host, 'pages'), sumOf(host, 'iommu')]).toEqual([5, 5]);
});

test('what a revived actor repeats is not refused because it speaks newly by now', async () => {
  const host = await rig.host(bus);
  await host.serving('iommu');
  const caller = rig.client(bus);
  bus.fate = (from, to) => (from === 'iommu' && to === 'pages' ? 0 : 1);
  const first = caller.call('iommu', counterApi.addBoth, { by: 1 });
  await until('iommu waits for pages', () => host.actor('iommu')!.machine.inFlight === 1);
  host.kill('iommu');
  await host.revive('iommu');
  await host.serving('iommu');
  // The repetition at the start is lost too; a newer request gets through before the next one.
  const pending = host.actor('iommu')!.machine.unanswered().next().value!.pending;
  const second = caller.call('iommu', counterApi.addBoth, { by: 1 });
  await until('iommu waits twice', () => host.actor('iommu')!.machine.inFlight === 2);
  pending.sentAt = Date.now();
  pending.tries = 3;
  bus.fate = () => 1;
  expect([await second, await first]).toEqual([1, 2]);
  expect(rig.failures).toEqual([]);
});

test('killed a hundred times under load: nothing is lost and nothing is done twice', async () => {
  const host = await rig.host(bus, [LAB, 'pages', 'iommu'], {
    limits: { ...HOST_LIMITS, retryMs: 5, snapshotEvery: 20 },
  });
  const caller = rig.client(bus);
  const answers = callAll(caller, 'iommu', counterApi.addBoth, ones(200));
  for (let n = 0; n < 100; n++) {
    const victim = n % 2 ? 'pages' : 'iommu';
    host.kill(victim);
    await host.revive(victim);
    await new Promise((resolve) => setTimeout(resolve, n % 5));
  }
  await answers;
  expect([sumOf(host, 'pages'), sumOf(host, 'iommu')]).toEqual([200, 200]);
  expect(rig.failures).toEqual([]);
}, 60_000);

test('a host that starts again has the state of its journals', async () => {
  const first = await rig.host(bus);
  await callAll(rig.client(bus), 'pages', counterApi.add, ones(30));
  await first.stop();
  expect(existsSync(`${rig.fileOf('pages')}-wal`)).toBe(false);
  const second = await rig.host(bus);
  await second.serving('pages');
  expect(sumOf(second, 'pages')).toBe(30);
});

test('a replay of the whole journal makes the outputs that were made, across snapshots and restarts', async () => {
  const host = await rig.host(bus, [LAB, 'pages'], {
    limits: { ...HOST_LIMITS, snapshotEvery: 7 },
  });
  const caller = rig.client(bus);
  for (let n = 0; n < 20; n++) {
    await caller.call('pages', counterApi.add, { by: 1 });
    if (n % 6 === 5) {
      host.kill('pages');
      await host.revive('pages');
    }
  }
  await host.stop();
  const reading = await readJournal(rig.fileOf('pages'), 'pages');
  expect(reading.snapshots.length).toBeGreaterThan(1);
  const machine = new Machine('pages', new CounterCore());
  for (const record of reading.records()) {
    expect(() => record.check!(machine.out)).not.toThrow();
    machine.out = [];
    for (const input of decodeInputs(record.body)) machine.step(input);
  }
  expect((machine.core as CounterCore).sum).toBe(20);
  await reading.close();
});

test('a core that answers a replay differently is refused at the record where it differs', async () => {
  const host = await rig.host(bus);
  await callAll(rig.client(bus), 'pages', counterApi.add, ones(2));
  await rig.client(bus, 'client:second').call('pages', counterApi.add, { by: 1 });
  await host.stop();
  class OffByOne extends CounterCore {
    override sum = 1;
  }
  const cores = (address: string): Core => (address === 'pages' ? new OffByOne() : testCores(address));
  await expect(rig.host(bus, [LAB, 'pages'], { cores })).rejects.toThrow(
    /pages\.db: the replay up to record \d+ made other outputs/,
  );
});

test('a journal that ends before what the lab has witnessed does not serve, and says what to do', async () => {
  const host = await rig.host(bus);
  const caller = rig.client(bus);
  await caller.call('pages', counterApi.add, { by: 1 });
  host.kill('pages');
  const older = readFileSync(rig.fileOf('pages'));
  await host.revive('pages');
  await host.serving('pages');
  await caller.call('pages', counterApi.add, { by: 1 });
  const { seq } = host.actor('pages')!;
  const lab = host.actor(LAB)!.machine.core as TestLabCore;
  await until('the lab has witnessed it', () => lab.witnessed('pages') >= seq, 1500);
  host.kill('pages');
  writeFileSync(rig.fileOf('pages'), older);
  await host.revive('pages');
  await until('it stops', () => rig.failures.length > 0, 1500);
  expect(rig.failures[0]!.error.message).toMatch(/pages: .*tail is lost.*Restore the journal file from a copy/);
  expect(host.states()).toContainEqual({ address: 'pages', state: 'failed' });
});

describe('a family', () => {
  const device = 'device:0000:65:00_0';

  test('an actor is made when the first frame for it arrives, and nothing sent meanwhile is lost', async () => {
    const host = await rig.host(bus, [LAB], { families: ['device'] });
    expect(await callAll(rig.client(bus), device, counterApi.add, ones(10))).toHaveLength(10);
    expect(host.states()).toContainEqual({ address: device, state: 'serving' });
    expect(host.dropped).toBe(0);
  });

  test('frames beyond the bound are dropped and come again', async () => {
    const host = await rig.host(bus, [LAB], { families: ['device'] });
    const sums = await callAll(rig.client(bus), device, counterApi.add, ones(MAX_EARLY + 50));
    expect(host.dropped).toBeGreaterThanOrEqual(50);
    expect(sums).toHaveLength(MAX_EARLY + 50);
    expect(sumOf(host, device)).toBe(MAX_EARLY + 50);
  });

  test('an address without a core gets no actor', async () => {
    const cores = (address: string): Core | undefined => (address.endsWith('nowhere') ? undefined : testCores(address));
    const host = await rig.host(bus, [LAB], { families: ['device'], cores });
    bus.send('client:x', 'device:nowhere', new Uint8Array(1));
    await until('the frame was dropped', () => host.dropped > 0);
    expect(host.states().map((s) => s.address)).toEqual([LAB]);
  });

  test(`no more than ${MAX_ACTORS} actors are made`, async () => {
    const host = await rig.host(bus, [LAB], { families: ['device'], durability: 'none' });
    const frame = encodeFrame(
      { kind: EVENT, flags: 0, method: 1, epoch: 0, id: 0, floor: 0, clock: 0, seen: 0, deadline: 0 },
      { write: () => undefined, read: () => undefined },
      undefined,
    );
    for (let n = 0; n < MAX_ACTORS + 10; n++) bus.send('client:x', `device:${n}`, frame);
    await until('they were made', () => host.states().length === MAX_ACTORS);
    expect(host.dropped).toBe(11);
  });
});

describe('failures', () => {
  test('an actor whose core breaks stops, says so, and answers nobody; the others go on', async () => {
    class Broken extends CounterCore {
      override encode(): void {
        throw new Error('broken core');
      }
    }
    const cores = (address: string): Core => (address === 'pages' ? new Broken() : testCores(address));
    const host = await rig.host(bus, [LAB, 'pages', 'iommu'], { cores, limits: { ...HOST_LIMITS, snapshotEvery: 3 } });
    const caller = rig.client(bus);
    void caller.call('pages', counterApi.add, { by: 1 });
    await until('pages failed', () => rig.failures.length > 0);
    expect(rig.failures[0]).toMatchObject({ address: 'pages', error: { message: 'broken core' } });
    expect(host.states()).toContainEqual({ address: 'pages', state: 'failed' });
    expect(await caller.call('iommu', counterApi.add, { by: 1 })).toBe(1);
  });

  test('an actor without room in its journal is read-only until there is, and then answers all that came', async () => {
    const said: string[] = [];
    let full = false;
    const host = await rig.host(bus, undefined, {
      journals: async (actor) => {
        const journal = await openJournal({ file: rig.fileOf(actor), actor, mode: 'process', record: true });
        const append = journal.append.bind(journal);
        journal.append = (record, outputs) => {
          if (full && actor === 'pages') throw new JournalFull('no room');
          append(record, outputs);
        };
        return journal;
      },
      onReadOnly: (address, why) => said.push(`${address}: ${why?.message ?? 'room'}`),
    });
    const caller = rig.client(bus);
    await caller.call('pages', counterApi.add, { by: 1 });
    full = true;
    const waits = caller.call('pages', counterApi.add, { by: 1 });
    await until('it is read-only', () => said.length > 0);
    expect(host.states()).toContainEqual({ address: 'pages', state: 'read-only' });
    expect((await caller.call('pages', bootApi.inspect, undefined)).lines[0]).toBe('read-only: no room');
    expect(await caller.call('iommu', counterApi.add, { by: 1 })).toBe(1);
    full = false;
    expect(await waits).toBe(2);
    expect(said).toEqual(['pages: no room', 'pages: room']);
    expect([host.states().find(({ address }) => address === 'pages')?.state, rig.failures]).toEqual(['serving', []]);
  });

  test('a running actor cannot be revived', async () => {
    const host = await rig.host(bus);
    await expect(host.revive('pages')).rejects.toThrow(/pages: is running/);
  });

  test('an address that is not here is said not to be here', async () => {
    const host = await rig.host(bus, [LAB]);
    await expect(host.serving('pages')).rejects.toThrow(/pages: this process has no such actor/);
  });
});
