import { NumberMap } from './number-map.js';
import { Random } from './random.js';
import { FITS, ScoreTree } from './score-tree.js';
import { UniformSet } from './uniform-set.js';

describe.each([1, 15, 16, 17, 255, 257, 5000])('a tournament of %d', (count) => {
  it('has the leftmost of the best, after any change', () => {
    const random = new Random(count);
    const tree = new ScoreTree(count);
    const codes = new Array<number>(count).fill(0);
    for (let step = 0; step < 1000; step++) {
      const leaf = random.below(count);
      codes[leaf] = random.below(4) === 0 ? random.below(FITS) : FITS + random.below(50);
      tree.set(leaf, codes[leaf]);
      if (step % 10 !== 0) continue;
      const best = Math.max(...codes);
      expect(tree.best()).toBe(best < FITS ? -1 : codes.indexOf(best));
    }
  });
});

it('a tournament that is rebuilt is the one that was kept up', () => {
  const tree = new ScoreTree(1000);
  for (let i = 0; i < 1000; i++) tree.leaves[i] = FITS + ((i * 7919) % 997);
  tree.rebuild();
  expect(tree.best()).toBe([...tree.leaves].indexOf(Math.max(...tree.leaves)));
});

it('a set gives each member an equal chance', () => {
  const set = new UniformSet(4);
  for (const host of [0, 1, 2, 3]) set.set(host, true);
  set.set(1, false);
  set.set(1, false);
  set.set(3, true);
  expect(set.size).toBe(3);
  expect([0, 1, 2].map((i) => set.member(i)).sort()).toEqual([0, 2, 3]);
});

it('a map of numbers keeps what it is told while it grows', () => {
  const map = new NumberMap();
  for (let i = 0; i < 5000; i++) map.set(i * 429_000, i);
  map.set(429_000, -1);
  expect(map.get(429_000)).toBe(-1);
  expect(map.get(4999 * 429_000)).toBe(4999);
  expect(map.get(3)).toBeNaN();
});

it('chance is the same for the same seed, and even', () => {
  const counts = new Array<number>(7).fill(0);
  const [a, b] = [new Random(1), new Random(1)];
  for (let i = 0; i < 70_000; i++) {
    const drawn = a.below(7);
    expect(drawn).toBe(b.below(7));
    counts[drawn]!++;
  }
  for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(400);
  expect(new Random(2).next()).not.toBe(new Random(1).next());
});
