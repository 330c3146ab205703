/** A function's part in a hot reset (semantics D6.3). */
import { deviceApi, GROUPS, iommuApi, IOMMU } from '@vfiolab/core';
import { fail, ok } from '@vfiolab/uapi';
import { bench, boundBench, type Client, CONFIG } from './testing/client.js';
import { EDU } from './testing/functions.js';
import { CLIENT } from './testing/harness.js';

const [SOURCE, DESTINATION, COUNT, COMMAND] = [0x80, 0x88, 0x90, 0x98];
const BUFFER = 0x40000n;
const start = (c: Client, rest: string[] = []) => c.h.start(deviceApi.hotReset, { rest }, GROUPS);

/** A function whose registers show whether it was reset. */
function used() {
  const { c, dev } = boundBench(EDU);
  c.pwrite(dev, CONFIG + 4, '0600');
  c.poke(dev, SOURCE, 0x1234n, 8);
  return { c, dev, wasReset: () => c.pread(dev, SOURCE, 8) === '0000000000000000' };
}

test('registers are as after power-on, config space as it was, and the function answers again', () => {
  const { c, dev, wasReset } = used();
  expect([wasReset(), start(c).value, wasReset(), c.pread(dev, CONFIG + 4, 2)]).toEqual([
    false,
    ok(undefined),
    true,
    '0600',
  ]);
});

test('a function that nobody has open takes part', () => {
  expect(start(bench(EDU)).value).toEqual(ok(undefined));
});

test('it stops, asks the next one, and is reset only after that', () => {
  const { c, dev, wasReset } = used();
  c.h.hold(deviceApi.hotReset);
  const reset = start(c, ['0000:00:04.0', '0000:00:04.1']);
  const store = c.poke(dev, SOURCE, 0x5678n, 8);
  expect([reset.done, store.done]).toEqual([false, false]);
  c.h.release(deviceApi.hotReset);
  expect([reset.value, store.done, wasReset()]).toEqual([ok(undefined), true, false]);
  expect(c.h.world.hotResets).toEqual([{ rest: ['0000:00:04.1'] }]);
  expect(c.pread(dev, SOURCE, 8)).toBe('7856000000000000');
});

test('EBUSY of a later one: nothing was reset, and it answers again', () => {
  const { c, wasReset } = used();
  c.h.world.refusals.set(deviceApi.hotReset.name, 'EBUSY');
  expect([start(c, ['0000:00:04.0']).value, wasReset()]).toEqual([fail('EBUSY'), false]);
});

test('EBUSY: its DMA is under way; nothing is asked of the others', () => {
  const { c, dev, wasReset } = used();
  c.poke(dev, DESTINATION, BUFFER, 8);
  c.poke(dev, COUNT, 4n, 8);
  c.h.hold(iommuApi.dma);
  const running = c.poke(dev, COMMAND, 1n, 8);
  expect([start(c, ['0000:00:04.0']).value, c.h.world.hotResets]).toEqual([fail('EBUSY'), []]);
  c.h.release(iommuApi.dma);
  expect([running.done, wasReset(), start(c).value, wasReset()]).toEqual([true, false, ok(undefined), true]);
});

test.each<[string, string]>([
  ['a client', CLIENT],
  ['another service', IOMMU],
])('EPERM: %s asks', (_who, from) => {
  expect(bench(EDU).h.ask(deviceApi.hotReset, { rest: [] }, from)).toEqual(fail('EPERM'));
});
