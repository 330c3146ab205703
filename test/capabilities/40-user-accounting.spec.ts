import { charged, Lab, NOTHING, user } from './support/lab.js';
import { APERTURE, PAGE, type Program } from './support/program.js';

const LIMIT = 16;

/** An IOAS with a domain, and memory. */
async function ready(p: Program) {
  const ioas = await p.ioas();
  await p.mock(ioas);
  const va = await p.memory(2 * LIMIT * PAGE);
  const map = (slot: number, pages: number) => p.map(ioas, APERTURE + BigInt(slot * PAGE), va, pages * PAGE);
  const unmap = (slot: number, pages: number) => p.unmap(ioas, APERTURE + BigInt(slot * PAGE), pages * PAGE);
  return { map, unmap };
}

it('40: two processes of a user share his limit of locked memory, another user has his own', async () => {
  const lab = await Lab.mock();
  const who = user(1000, LIMIT * PAGE);
  const [a, b, c] = [
    await lab.program('a', who),
    await lab.program('b', who),
    await lab.program('c', user(1001, LIMIT * PAGE)),
  ];
  const [inA, inB, inC] = [await ready(a), await ready(b), await ready(c)];
  expect(await inA.map(0, 10)).toBeUndefined();
  expect(await inB.map(0, 7)).toBe('ENOMEM');
  expect(await inB.map(0, 6)).toBeUndefined();
  expect(await inA.map(64, 1)).toBe('ENOMEM');
  expect(await inC.map(0, LIMIT)).toBeUndefined();
  expect(await a.counters()).toEqual({ pinned: 10, locked: 0, user: 16 });
  expect(await b.counters()).toEqual({ pinned: 6, locked: 0, user: 16 });
  expect(await c.counters()).toEqual({ pinned: 16, locked: 0, user: 16 });
  // What one gives back, the other may take; a process that ends gives everything back.
  expect(await inA.unmap(0, 10)).toBe(BigInt(10 * PAGE));
  expect(await inB.map(64, 10)).toBeUndefined();
  await b.exit();
  expect(await a.counters()).toEqual({ pinned: 0, locked: 0, user: 0 });
  expect(await inA.map(0, LIMIT)).toBeUndefined();
  expect(await lab.afterwards(a, c)).toEqual(NOTHING);
});

it('40: in MM mode each process has the limit for itself', async () => {
  const lab = await Lab.mock();
  const limit = LIMIT * PAGE;
  const [a, b] = [await lab.programInMmMode('a', limit), await lab.programInMmMode('b', limit)];
  const shared = await lab.program('shared', charged(limit));
  const [inA, inB, inShared] = [await ready(a), await ready(b), await ready(shared)];
  for (const each of [inA, inB, inShared]) expect(await each.map(0, LIMIT)).toBeUndefined();
  for (const each of [inA, inB, inShared]) expect(await each.map(64, 1)).toBe('ENOMEM');
  for (const each of [a, b]) expect(await each.counters()).toEqual({ pinned: LIMIT, locked: LIMIT, user: LIMIT });
  expect(await shared.counters()).toEqual({ pinned: LIMIT, locked: 0, user: LIMIT });
  expect(await lab.afterwards(a, b, shared)).toEqual(NOTHING);
});
