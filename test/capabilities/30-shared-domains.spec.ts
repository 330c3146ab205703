import { FUNCTIONS, Lab, NOTHING, user } from './support/lab.js';
import { PAGE, pattern } from './support/program.js';
import { readBy, writeBy } from './support/accesses.js';

it('30: an emulated device and a PCI device on one IOAS: the same page, one pin, one charge', async () => {
  const lab = await Lab.real();
  const p = await lab.program('vmm', user(1000, 4 * PAGE));
  const [ioas, va] = [await p.ioas(), await p.memory(4 * PAGE)];
  expect(await p.map(ioas, 0x10000n, va, 4 * PAGE)).toBeUndefined();
  expect(await p.counters()).toEqual({ pinned: 0, locked: 0, user: 0 });
  const emulated = await p.access(ioas);
  await p.pin(emulated, 0x10000n, 2 * PAGE);
  expect(await p.counters()).toEqual({ pinned: 2, locked: 0, user: 2 });
  const device = await p.device(FUNCTIONS[0]);
  await device.attached(ioas);
  expect(await p.counters()).toEqual({ pinned: 4, locked: 0, user: 4 });
  expect(await p.refs(va, 4 * PAGE, 1)).toBeUndefined();

  // What one of them writes, the other reads: by DMA, by the CPU's way, and by pinned pages.
  expect(await writeBy(p, emulated, 0x10ff0n, pattern(64))).toBeUndefined();
  await device.fetch(0x10ff0n, 64);
  await device.store(0x12fe0n, 64);
  for (const slow of [false, true]) expect(await readBy(p, emulated, 0x12fe0n, 64, slow)).toEqual([...pattern(64)]);
  expect(await p.counters()).toEqual({ pinned: 4, locked: 0, user: 4 });
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});
