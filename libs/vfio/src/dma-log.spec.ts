import { ByteReader, ByteWriter } from '@vfiolab/core';
import { DmaLog, MAX_LOGGED_PAGES } from './dma-log.js';

const RANGE = { start: 0x10000n, last: 0x1ffffn };

test('only writes to the ranges are logged, and a report forgets what it told', () => {
  const log = new DmaLog();
  log.mark(0x10000n, 1);
  log.start([RANGE]);
  log.mark(0xffffn, 2);
  log.mark(0x1ffffn, 0x10000);
  log.mark(0x30000n, 100);
  expect(log.take(0x1f000n, 2n ** 64n - 1n)).toEqual([{ start: 0x1f000n, last: 0x1ffffn }]);
  expect(log.take(0n, 0x107ffn)).toEqual([{ start: 0x10000n, last: 0x107ffn }]);
  expect(log.take(0n, 2n ** 64n - 1n)).toEqual([]);
});

test('a log that is full tells every page of its ranges', () => {
  const log = new DmaLog();
  const wide = { start: 0n, last: BigInt(MAX_LOGGED_PAGES + 1) * 4096n - 1n };
  log.start([wide]);
  for (let at = 0; at <= MAX_LOGGED_PAGES; at += 64) log.mark(BigInt(at) * 4096n, 64 * 4096);
  expect(log.take(0n, wide.last)[0]).toEqual(wide);
  expect(log.take(0n, wide.last)).toEqual([]);
});

test('a snapshot brings it back; off it remembers nothing', () => {
  const log = new DmaLog();
  log.start([RANGE]);
  log.mark(0x11000n, 1);
  const w = new ByteWriter();
  log.encode(w);
  const again = new DmaLog();
  again.decode(new ByteReader(w.take()));
  expect([again.on, again.check()]).toEqual([true, []]);
  expect(again.take(0n, 2n ** 64n - 1n)).toEqual([{ start: 0x11000n, last: 0x11fffn }]);
  log.stop();
  expect([log.on, log.take(0n, 2n ** 64n - 1n), log.check()]).toEqual([false, [], []]);
});
