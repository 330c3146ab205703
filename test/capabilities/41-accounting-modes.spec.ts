import { ROOT } from '@vfiolab/client';
import { charged, Lab, NOTHING } from './support/lab.js';
import { APERTURE, PAGE, type Program } from './support/program.js';

const LIMIT = 64 * PAGE;

/** The same program in each mode: counters after every step. */
async function story(p: Program) {
  const [ioas, va] = [await p.ioas(), await p.memory(64 * PAGE)];
  const steps = [];
  expect(await p.map(ioas, APERTURE, va, 8 * PAGE)).toBeUndefined();
  steps.push(await p.counters());
  const { object } = await p.mock(ioas);
  steps.push(await p.counters());
  // Once more, half a page into it; then what is there already under another IOVA.
  expect(await p.map(ioas, APERTURE + 0x10000n, va + 2048n, 8 * PAGE)).toBeUndefined();
  expect(await p.copy(ioas, APERTURE, ioas, APERTURE + 0x20000n, 8 * PAGE)).toBeUndefined();
  steps.push(await p.counters());
  await p.must(p.process.mlock(Number(va), 4 * PAGE));
  steps.push(await p.counters());
  expect(await p.destroy(object)).toBeUndefined();
  steps.push(await p.counters());
  return steps;
}

it.each([
  ['nobody pays with CAP_IPC_LOCK', 'none', 0, 0],
  ['the user pays', 'user', 0, 1],
  ['the mm pays, in VmLck', 'mm', 1, 0],
] as const)('41: the modes of accounting: %s; VmPin is the same in all', async (_what, mode, locked, byUser) => {
  const lab = await Lab.mock();
  const p =
    mode === 'mm'
      ? await lab.programInMmMode('vmm', LIMIT)
      : await lab.program('vmm', mode === 'none' ? { ...ROOT, memlock: LIMIT } : charged(LIMIT));
  const at = (pages: number, mlocked = 0) => ({
    pinned: pages,
    locked: locked * pages + mlocked,
    user: byUser * pages,
  });
  expect(await story(p)).toEqual([at(0), at(8), at(17), at(17, 4), at(0, 4)]);
  await p.must(p.process.munlock(0x10_0000_0000, 4 * PAGE));
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

it.each([
  ['none', 17],
  ['user', 16],
  ['mm', 16],
] as const)('41: who pays meets his limit, %s: %i pages', async (mode, most) => {
  const lab = await Lab.mock();
  const limit = 16 * PAGE;
  const p =
    mode === 'mm'
      ? await lab.programInMmMode('vmm', limit)
      : await lab.program('vmm', mode === 'none' ? { ...ROOT, memlock: limit } : charged(limit));
  const [ioas, va] = [await p.ioas(), await p.memory(32 * PAGE)];
  await p.mock(ioas);
  for (let i = 0; i < 17; i++)
    expect(await p.map(ioas, APERTURE + BigInt(i * PAGE), va, PAGE)).toBe(i < most ? undefined : 'ENOMEM');
  expect((await p.counters()).pinned).toBe(most);
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});
