import { IOMMU_DESTROY, IOMMU_VDEVICE_ALLOC } from '@vfiolab/uapi';
import { IPA, queueBench } from './testing/cmdqv-bench.js';
import { rereads } from './testing/reread.js';

const [CONS, PROD, CONFIG, STATUS, GERROR, GERRORN] = [0x00, 0x04, 0x08, 0x0c, 0x10, 0x14];
const ILLEGAL = 1 << 24;
const SYNC = 0x46n;
const STREAM = 5n;

/** A queue of four commands, enabled. */
async function setup(index0 = {}) {
  const b = await queueBench();
  const named = { viommu_id: b.viommu_id, dev_id: b.device, virt_id: STREAM };
  expect((await b.ioctl(IOMMU_VDEVICE_ALLOC, named)).errno).toBeUndefined();
  const made = await b.make(index0);
  expect(made.errno).toBeUndefined();
  await b.store(CONFIG, 1);
  return { ...b, id: made.out.out_hw_queue_id };
}

it.each([
  ['SYNC', SYNC, true],
  ['one ASID', 0x11n, true],
  ['an address', 0x12n, true],
  ['the ATC of a device', 0x40n | (STREAM << 32n), true],
  ['the ATC of nobody’s device', 0x40n | (6n << 32n), false],
  ['an address in all ASIDs', 0x13n, false],
  ['everything', 0x10n, false],
  ['everything of all guests', 0x30n, false],
  ['a configuration', 0x05n | (STREAM << 32n), false],
  ['a page response', 0x42n, false],
  ['nothing', 0n, false],
])('a guest’s command: %s', async (_what, command, taken) => {
  const b = await setup();
  await b.poke(0, command, 0n, SYNC, 0n);
  await b.store(PROD, 2);
  expect([await b.load(CONS), await b.load(GERROR)]).toEqual(taken ? [2, 0] : [ILLEGAL, 1]);
  expect(await rereads(b.host)).toBe(true);
  expect(b.host.broken()).toEqual([]);
});

it('commands before the illegal one are done; the queue stands until the error is acknowledged', async () => {
  const b = await setup();
  await b.poke(0, 0x11n, 0n, SYNC, 0n, 0x12n, 0n, 0x10n, 0n);
  await b.store(PROD, 4);
  expect(await b.load(CONS)).toBe(3 | ILLEGAL);
  await b.store(PROD, 5);
  expect(await b.load(CONS)).toBe(3 | ILLEGAL);
  await b.poke(48, SYNC, 0n);
  await b.store(GERRORN, 1);
  expect([await b.load(CONS), await b.load(GERROR), await b.load(GERRORN)]).toEqual([5, 1, 1]);
  // The next error makes them differ again.
  await b.poke(16, 0n, 0n);
  await b.store(PROD, 6);
  expect([await b.load(CONS), await b.load(GERROR)]).toEqual([5 | ILLEGAL, 0]);
});

it('what is the hardware’s cannot be written; CONS only while the queue is off', async () => {
  const b = await setup();
  await b.store(CONS, 3);
  await b.store(STATUS, 0);
  await b.store(GERROR, 7);
  await b.store(0x18, 7);
  await b.store(0x80 + PROD, 7);
  const seen = [CONS, STATUS, GERROR, 0x18, 0x80 + PROD];
  const values = [];
  for (const register of seen) values.push(await b.load(register));
  expect(values).toEqual([0, 1, 0, 0, 0]);
  await b.store(CONFIG, 0xfffffffe);
  // All registers at once: CONS and PROD are stored before the queue is enabled.
  await b.store(CONS, 3, 3, 1, 0, 0, 0);
  expect([await b.load(CONS), await b.load(PROD), await b.load(STATUS)]).toEqual([3, 3, 1]);
});

it('a part of a word is not stored; outside of the window there is nothing', async () => {
  const b = await setup();
  await b.poke(0, SYNC, 0n);
  await b.bytes(PROD, Uint8Array.of(1, 0));
  await b.bytes(PROD + 1, Uint8Array.of(1, 0, 0, 0));
  expect(await b.load(PROD)).toBe(0);
  await b.bytes(PROD - 1, Uint8Array.of(0, 1, 0, 0, 0));
  expect([await b.load(PROD), await b.load(CONS)]).toEqual([1, 1]);
});

it('more commands than are read at once, around the end of the queue, of the second queue', async () => {
  const b = await setup();
  const made = await b.make({ index: 1, nesting_parent_iova: IPA + 0x10000n, length: 0x10000n });
  expect(made.errno).toBeUndefined();
  const words = Array.from({ length: 2 * 4096 }, (_, i) => (i % 2 === 0 ? (i % 512 === 510 ? 0x11n : SYNC) : 0n));
  await b.poke(0x10000, ...words);
  await b.store(0x80 + CONS, 4000, 4000, 1);
  await b.store(0x80 + PROD, 4096 + 3000);
  expect(await b.load(0x80 + CONS)).toBe(4096 + 3000);
  expect(await b.load(CONS)).toBe(0);
  expect(b.host.broken()).toEqual([]);
});

it('a queue that is destroyed while the hardware works goes when it has ended', async () => {
  const b = await setup();
  await b.poke(0, 0x11n, 0n, 0x11n, 0n);
  const rung = b.store(PROD, 2);
  const gone = b.ioctl(IOMMU_DESTROY, { id: b.id });
  await rung;
  expect((await gone).errno).toBeUndefined();
  expect([await b.load(CONS), await b.load(PROD), await b.load(STATUS)]).toEqual([0, 0, 0]);
  await b.host.run(b.p.exit());
  expect(b.host.broken()).toEqual([]);
  expect(b.host.figures('iommufd')).toMatchObject({ contexts: 0, objects: 0, files: 0 });
});
