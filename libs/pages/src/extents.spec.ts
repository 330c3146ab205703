import { ByteReader, ByteWriter } from '@vfiolab/core';
import { Extents } from './extents.js';
import { dice } from './testing/harness.js';

const SIZE = 200;
const counts = (extents: Extents) => Array.from({ length: SIZE }, (_, i) => extents.at(i));

describe('Extents', () => {
  it.each([1, 2, 3, 4])('counts like an array of counters (seed %i)', (seed) => {
    const roll = dice(seed);
    const extents = new Extents();
    const naive = new Array<number>(SIZE).fill(0);
    for (let i = 0; i < 1500; i++) {
      const first = roll(SIZE);
      const end = first + roll(SIZE - first) + 1;
      const delta = roll(2) === 0 && naive.slice(first, end).every((n) => n > 0) ? -1 : 1;
      if (delta > 0 && naive.some((n) => n > 4)) continue;
      extents.add(first, end, delta);
      for (let at = first; at < end; at++) naive[at]! += delta;
      if (i % 25 > 0) continue;
      expect(counts(extents)).toEqual(naive);
      expect(extents.covered()).toBe(naive.filter((n) => n > 0).length);
      const zeros = extents
        .zeros(first, end)
        .flatMap((z) => Array.from({ length: z.end - z.first }, (_, k) => z.first + k));
      expect(zeros).toEqual(naive.flatMap((n, at) => (n === 0 && at >= first && at < end ? [at] : [])));
    }
  });

  it('stores equal counts equally, whatever additions made them', () => {
    const one = new Extents();
    one.add(0, 30, 1);
    const other = new Extents();
    for (const at of [20, 0, 10]) other.add(at, at + 10, 1);
    expect([one.size, other.size, one.equals(other)]).toEqual([2, 2, true]);
    other.add(5, 6, 1);
    expect(one.equals(other)).toBe(false);
    other.add(40, 41, 1);
    expect(one.equals(other)).toBe(false);
    other.add(40, 41, -1);
    other.add(5, 6, -1);
    other.add(7, 7, 1);
    expect(one.equals(other)).toBe(true);
  });

  it('keeps 2^52 in two boundaries', () => {
    const extents = new Extents();
    extents.add(0, 2 ** 52, 1);
    expect([extents.size, extents.covered(), extents.at(2 ** 52 - 1), extents.at(2 ** 52)]).toEqual([2, 2 ** 52, 1, 0]);
  });

  it('takes 60,000 scattered extents, and gives every boundary back when they go', () => {
    const extents = new Extents();
    for (let i = 0; i < 60000; i++) extents.add(((i * 7919) % 60000) * 3, ((i * 7919) % 60000) * 3 + 1, 1);
    expect([extents.size, extents.covered()]).toEqual([120000, 60000]);
    for (let i = 0; i < 60000; i++) extents.add(i * 3, i * 3 + 1, -1);
    expect(extents.size).toBe(0);
  });

  it('refuses a count below zero and changes nothing (I24)', () => {
    const extents = new Extents();
    extents.add(10, 20, 1);
    expect(() => extents.add(5, 15, -1)).toThrow('count of 5 is 0');
    expect(() => extents.add(15, 25, -1)).toThrow('count of 20 is 0');
    expect([...extents.extents()]).toEqual([{ first: 10, end: 20, count: 1 }]);
  });

  it('comes back from its bytes', () => {
    const extents = new Extents();
    extents.add(3, 9, 1);
    extents.add(5, 6, 2);
    const w = new ByteWriter();
    extents.encode(w);
    expect(Extents.decode(new ByteReader(w.take())).equals(extents)).toBe(true);
  });
});
