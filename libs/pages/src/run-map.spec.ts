import { RunMap } from './run-map.js';
import { dice } from './testing/harness.js';

const SIZE = 120;
const flat = (map: RunMap) => Array.from({ length: SIZE }, (_, page) => map.pieces(page, page + 1)[0]?.frame ?? -1);

describe('RunMap', () => {
  it.each([1, 2, 3])('holds what an array of frames would hold (seed %i)', (seed) => {
    const roll = dice(seed);
    const map = new RunMap();
    const naive = new Array<number>(SIZE).fill(-1);
    for (let i = 0; i < 1200; i++) {
      const first = roll(SIZE);
      const end = Math.min(first + 1 + roll(20), SIZE);
      if (roll(2) === 0) {
        for (const hole of map.holes(first, end)) {
          // Often contiguous with what stands before, so that runs join.
          map.put(hole.first, 1000 + hole.first, hole.end - hole.first);
          for (let page = hole.first; page < hole.end; page++) naive[page] = 1000 + page;
        }
      } else {
        map.remove(first, end);
        naive.fill(-1, first, end);
      }
      if (i % 20 > 0) continue;
      expect(flat(map)).toEqual(naive);
      expect(map.pages).toBe(naive.filter((frame) => frame >= 0).length);
    }
  });

  it('joins runs that continue each other in pages and frames, and only those', () => {
    const map = new RunMap();
    map.put(0, 100, 5);
    map.put(10, 110, 5);
    map.put(5, 105, 5);
    map.put(15, 300, 1);
    expect([...map.all()]).toEqual([
      { page: 0, frame: 100, count: 15 },
      { page: 15, frame: 300, count: 1 },
    ]);
  });

  it.each([
    ['before', 4, 2],
    ['inside', 6, 1],
    ['behind', 9, 5],
  ])('refuses a second frame for a page: overlap %s', (_where, page, count) => {
    const map = new RunMap();
    map.put(5, 50, 5);
    expect(() => map.put(page, 70, count)).toThrow('has a frame already');
  });
});
