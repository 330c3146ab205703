import { MAX_UNDER_WAY, MemoryBus } from './memory-bus.js';
import { SLICE_MS, TurnScheduler } from './turn-scheduler.js';

const frame = new Uint8Array(1);
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('a frame arrives after the sender has gone on, with the address that sent it', async () => {
  const bus = new MemoryBus(new TurnScheduler());
  const got: string[] = [];
  bus.attach('pages', (from) => got.push(from));
  bus.send('iommu', 'pages', frame);
  expect(got).toEqual([]);
  await turn();
  expect(got).toEqual(['iommu']);
});

test('what was sent together is delivered before anything that it caused', async () => {
  const scheduler = new TurnScheduler();
  const bus = new MemoryBus(scheduler);
  const order: string[] = [];
  let turns = 0;
  bus.attach('pages', (from) => {
    order.push(from);
    if (turns++ === 0) scheduler.defer(() => order.push('turn'));
  });
  for (let n = 0; n < 64; n++) bus.send(`client:${n}`, 'pages', frame);
  // On a busy machine the turn comes with a later slice: all that counts is that it comes last.
  for (let i = 0; i < 100 && order.length < 65; i++) await turn();
  expect(order.indexOf('turn')).toBe(64);
});

test('an address of its own goes before its service', async () => {
  const bus = new MemoryBus(new TurnScheduler());
  const got: string[] = [];
  bus.attachService('device', (to) => got.push(`service ${to}`));
  const detach = bus.attach('device:a', () => got.push('own'));
  bus.send('x', 'device:a', frame);
  bus.send('x', 'device:b', frame);
  bus.send('x', 'nobody', frame);
  await turn();
  detach();
  bus.send('x', 'device:a', frame);
  await turn();
  expect(got).toEqual(['own', 'service device:b', 'service device:a']);
});

test('frames beyond the bound are dropped and counted', async () => {
  const bus = new MemoryBus(new TurnScheduler());
  let got = 0;
  bus.attach('pages', () => got++);
  for (let n = 0; n < MAX_UNDER_WAY + 3; n++) bus.send('x', 'pages', frame);
  await turn();
  expect([got, bus.dropped]).toEqual([MAX_UNDER_WAY, 3]);
});

test('two that never stop talking leave the event loop its turn', async () => {
  const bus = new MemoryBus(new TurnScheduler());
  let stop = false;
  bus.attach('a', (from, f) => void (stop || bus.send('a', from, f)));
  bus.attach('b', (from, f) => void (stop || bus.send('b', from, f)));
  bus.send('a', 'b', frame);
  const began = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 10));
  stop = true;
  expect(performance.now() - began).toBeLessThan(10 + 20 * SLICE_MS);
});
