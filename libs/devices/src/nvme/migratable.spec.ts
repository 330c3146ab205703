import { ByteWriter } from '@vfiolab/core';
import { HostBus } from '../testing/host-bus.js';
import { MigratableNvme } from './migratable.js';
import { CompletionQueue } from './queues.js';
import * as reg from './registers.js';
import { writeGrant } from './role.js';

const PAGE = 4096;

function poke(nvme: MigratableNvme, offset: number, value: number, width: 4 | 8 = 4): void {
  expect(nvme.write(offset, width, BigInt(value)).next().done).toBe(true);
}

/** A controller with its admin queue, one page for each ring. */
function enabled(): MigratableNvme {
  const nvme = new MigratableNvme(new HostBus(16 * PAGE));
  poke(nvme, reg.AQA, (7 << 16) | 7);
  poke(nvme, reg.ASQ, PAGE, 8);
  poke(nvme, reg.ACQ, 2 * PAGE, 8);
  poke(nvme, reg.CC, reg.CC_ENABLE);
  poke(nvme, reg.INTMS, 5);
  return nvme;
}

it('what was saved and loaded is saved the same (I45), without the media', () => {
  const nvme = enabled();
  nvme.media.write(0, new Uint8Array(512).fill(7));
  const other = new MigratableNvme(new HostBus(16 * PAGE));
  expect(other.load(nvme.save())).toBe(true);
  expect(other.save()).toEqual(nvme.save());
  expect(other.read(reg.CSTS, 4)).toBe(BigInt(reg.CSTS_READY));
  expect([other.media.used, other.check()]).toEqual([0, []]);
  expect(nvme.save()).toHaveLength(nvme.imageBytes);
});

/** Where things are in an image: magic, version, registers of 29 bytes, whether there is a controller, and it. */
const [FEATURES, QUEUES] = [39, 39 + 1 + 9 * 5 + 1];
it.each<[string, (image: Uint8Array) => Uint8Array]>([
  ['nothing', () => new Uint8Array(0)],
  ['an image that is too short', (image) => image.slice(0, -1)],
  ['another magic', (image) => image.fill(1, 0, 1)],
  ['another version', (image) => image.fill(9, 4, 5)],
  ['pages that are too large', (image) => image.fill(0xff, 8, 10)],
  ['an unknown feature', (image) => image.fill(0xee, FEATURES + 1, FEATURES + 2)],
  ['more queues than the image has bytes for', (image) => image.fill(0xff, QUEUES, QUEUES + 1)],
  ['a queue of one entry', (image) => image.fill(1, QUEUES + 3, QUEUES + 4)],
  ['a queue behind its end', (image) => image.fill(8, QUEUES + 7, QUEUES + 8)],
  ['a queue in the middle of a page', (image) => image.fill(4, QUEUES + 11, QUEUES + 12)],
  ['a queue without completions', (image) => image.fill(3, QUEUES + 5, QUEUES + 6)],
])('%s is refused, and changes nothing', (_words, spoil) => {
  const target = enabled();
  poke(target, reg.INTMC, 1);
  const before = target.save();
  expect(target.load(spoil(enabled().save()))).toBe(false);
  expect(target.save()).toEqual(before);
});

it('a VF takes an image that has no more queues than it was granted, and none while it is offline', () => {
  const vf = new MigratableNvme(new HostBus(16 * PAGE), { connected: false, ports: 1, vf: 0 });
  const grant = (online: boolean, queues: number): void => {
    const w = new ByteWriter(8);
    writeGrant(w, { online, queues, vectors: 1 });
    vf.answer(w.take(), 0);
  };
  const source = enabled();
  const images = [source.save()];
  source['controller']!.completions.set(4, new CompletionQueue(4, 0n, 8, undefined));
  images.push(source.save());
  grant(true, 5);
  expect(images.map((image) => vf.load(image))).toEqual([true, true]);
  grant(true, 4);
  expect(images.map((image) => vf.load(image))).toEqual([true, false]);
  expect(vf.save()).toEqual(images[0]);
  grant(false, 4);
  expect(images.map((image) => vf.load(image))).toEqual([false, false]);
  expect(vf.check()).toEqual([]);
});
