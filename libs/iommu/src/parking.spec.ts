/** Functions that are being reset (semantics C1.5). */
import { BLOCKING, ByteReader, ByteWriter, KERNEL } from '@vfiolab/core';
import { IommuCore } from './iommu-core.js';
import { attachedBench, type Bench, DEV, PAIR } from './testing/bench.js';

const done = { ok: true, value: undefined };
const busy = { ok: false, errno: 'EBUSY' };
const BYTES = new Uint8Array(0);

const park = (bench: Bench, bdf: string, over = false) => bench.now('park', { bdf, over });
const read = (bench: Bench) => bench.now('dma', { bdf: DEV, iova: 0x10000n, write: false, length: 4, data: BYTES });

test('a parked function stays attached, and its requests are refused and recorded until the reset is over', () => {
  const bench = attachedBench();
  park(bench, DEV);
  expect(bench.core.describe()).toContain(`group 1: domain 1: ${DEV}`);
  expect(read(bench).fault).toMatchObject({ reason: 'being reset' });
  expect(bench.now('faults', { bdf: DEV })).toHaveLength(1);
  park(bench, DEV, true);
  const again = bench.ask('dma', { bdf: DEV, iova: 0x10000n, write: false, length: 4, data: BYTES });
  bench.pagesAnswer(Uint8Array.of(1, 2, 3, 4));
  expect(again.value!.data).toEqual(Uint8Array.of(1, 2, 3, 4));
  expect([bench.core.figures()['parked'], bench.core.check()]).toEqual([0, []]);
});

test('nothing is attached to its group meanwhile, siblings included; blocking it is always possible', () => {
  const bench = attachedBench();
  bench.now('domainAlloc', { bdf: PAIR[0]!, flags: 0 });
  for (const bdf of PAIR) park(bench, bdf);
  const attach = (domain: number) => bench.now('attach', { bdfs: PAIR, domain });
  expect([attach(2), attach(BLOCKING), attach(KERNEL), attach(BLOCKING)]).toEqual([busy, done, done, done]);
  park(bench, PAIR[0]!, true);
  expect(attach(2)).toEqual(busy);
  park(bench, PAIR[1]!, true);
  expect(attach(2)).toEqual(done);
});

test('PASIDs neither, whatever their number; other groups are not concerned', () => {
  const bench = attachedBench();
  const pasid = (bdf: string) => bench.now('pasidAttach', { bdf, pasid: 5, domain: 1 });
  park(bench, DEV);
  expect([pasid(DEV), pasid(PAIR[0]!)]).toEqual([busy, { ok: false, errno: 'EINVAL' }]);
  expect(bench.now('attach', { bdfs: PAIR, domain: 1 })).toEqual(done);
});

test('a service that comes back still knows; a function that nobody knows is parked by nobody', () => {
  const bench = attachedBench();
  park(bench, DEV);
  park(bench, '0000:00:1e.0');
  const w = new ByteWriter();
  bench.core.encode(w, 'snapshot');
  const restored = new IommuCore();
  restored.decode(new ByteReader(w.take()));
  expect(restored.figures()['parked']).toBe(1);
});
