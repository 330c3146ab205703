import { Lab, NOTHING, user } from './support/lab.js';
import { APERTURE, PAGE } from './support/program.js';

const PAGES = 8;
const LENGTH = PAGES * PAGE;

it('26: a page is pinned and charged once, whatever number of IOAS and domains it is in', async () => {
  const lab = await Lab.mock();
  const p = await lab.program('vmm', user(1000, LENGTH));
  const [first, va] = [await p.ioas(), await p.memory(LENGTH)];
  await p.mock(first);
  expect(await p.map(first, APERTURE, va, LENGTH)).toBeUndefined();
  const one = { pinned: PAGES, locked: 0, user: PAGES };
  expect(await p.counters()).toEqual(one);
  const others: number[] = [];
  for (let i = 0; i < 5; i++) {
    const ioas = await p.ioas();
    const { hwpt, device } = await p.mock(ioas);
    const second = await p.hwpt(device, ioas);
    // Nothing of the limit is left, so a second charge would be refused.
    expect(await p.copy(first, APERTURE, ioas, APERTURE + BigInt(i * LENGTH), LENGTH)).toBeUndefined();
    for (const each of [hwpt, second])
      expect(await p.shows(each, APERTURE + BigInt(i * LENGTH), va, LENGTH)).toBeUndefined();
    expect(await p.refs(va, LENGTH, 1)).toBeUndefined();
    expect(await p.counters()).toEqual(one);
    others.push(ioas);
  }
  // It stays as long as one of them has it.
  for (const ioas of [first, ...others.slice(0, 4)]) {
    expect(await p.unmap(ioas, 0n, 0xffff_ffff_ffff_ffffn)).toBe(BigInt(LENGTH));
    expect(await p.refs(va, LENGTH, 1)).toBeUndefined();
    expect(await p.counters()).toEqual(one);
  }
  expect(await p.unmap(others[4]!, 0n, 0xffff_ffff_ffff_ffffn)).toBe(BigInt(LENGTH));
  expect(await p.refs(va, LENGTH, 0)).toBeUndefined();
  expect(await p.counters()).toEqual({ pinned: 0, locked: 0, user: 0 });
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

it('26: mapping the same memory twice is two stores: two pins, two charges', async () => {
  const lab = await Lab.mock();
  const p = await lab.program('vmm', user(1000, 3 * LENGTH));
  const [ioas, va] = [await p.ioas(), await p.memory(LENGTH)];
  await p.mock(ioas);
  for (const i of [0, 1, 2]) expect(await p.map(ioas, APERTURE + BigInt(i * LENGTH), va, LENGTH)).toBeUndefined();
  expect(await p.refs(va, LENGTH, 3)).toBeUndefined();
  expect(await p.counters()).toEqual({ pinned: 3 * PAGES, locked: 0, user: 3 * PAGES });
  expect(await p.map(ioas, APERTURE + BigInt(3 * LENGTH), va, PAGE)).toBe('ENOMEM');
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});
