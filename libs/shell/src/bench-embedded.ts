/**
 * How fast one service answers in the process of its client.
 *
 * Rule: the denominator is in the same run: a function call that does the same work without the mechanism is not it; the
 * rates of two durabilities are.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Address, Caller, NoJournal, type JournalPort, LAB } from '@vfiolab/core';
import { ActorHost } from './actor-host.js';
import { type Load, type Measured, measure } from './bench-load.js';
import { MemoryBus } from './memory-bus.js';
import { type Durability, openJournal } from './sqlite-journal.js';
import { counterApi, testCores } from './testing/counter-core.js';
import { TurnScheduler } from './turn-scheduler.js';

const CLIENT: Address = 'client:bench';

/** One service, one client, one process. */
export async function benchEmbedded(durability: Durability, load: Load): Promise<Measured> {
  const dir = mkdtempSync(join(tmpdir(), 'vfiolab-bench-'));
  const scheduler = new TurnScheduler();
  const bus = new MemoryBus(scheduler);
  const host = new ActorHost({
    bus,
    scheduler,
    actors: [LAB, 'pages'],
    cores: testCores,
    journals: (actor): Promise<JournalPort> | JournalPort =>
      actor === LAB
        ? new NoJournal()
        : openJournal({ file: join(dir, `${actor}.db`), actor, mode: durability, record: false }),
    onFailed: (address, error) => console.error(address, error),
  });
  try {
    await host.start();
    await host.serving('pages');
    const caller = new Caller({ now: Date.now, send: (to, frame) => bus.send(CLIENT, to, frame) });
    bus.attach(CLIENT, (from, frame) => caller.receive(from, frame));
    return await measure(load, (done) => caller.request('pages', counterApi.add, { by: 1 }, () => done(), done));
  } finally {
    await host.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}
