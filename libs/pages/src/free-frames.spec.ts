import { FreeFrames } from './free-frames.js';

const of = (...runs: [number, number][]) => {
  const free = new FreeFrames();
  for (const [frame, count] of runs) free.put(frame, count);
  return free;
};

describe('FreeFrames', () => {
  it.each([
    ['the lowest frames go first', 3, 1, [[2, 3]]],
    [
      'a request may take several runs',
      10,
      1,
      [
        [2, 8],
        [100, 2],
      ],
    ],
    ['blocks are aligned', 4, 4, [[4, 4]]],
    ['runs without a whole block are skipped', 64, 64, [[128, 64]]],
    [
      'blocks may lie apart',
      12,
      4,
      [
        [4, 4],
        [100, 8],
      ],
    ],
    [
      'all of them',
      1008,
      1,
      [
        [2, 8],
        [100, 1000],
      ],
    ],
    ['more than there are: none', 1009, 1, undefined],
    ['enough frames but not enough blocks: none', 1008, 4, undefined],
  ])('%s', (_rule, count, block, runs) => {
    const free = of([2, 8], [100, 1000]);
    expect(free.take(count, block)?.map((r) => [r.frame, r.count])).toEqual(runs);
    expect(free.available).toBe(1008 - (runs ? count : 0));
  });

  it('joins what comes back with both neighbours', () => {
    const free = of([0, 10], [20, 10]);
    free.put(10, 10);
    expect([...free.runs()]).toEqual([{ frame: 0, count: 30 }]);
  });

  it.each([0, 9, 5])('refuses a frame that is free already (%i)', (frame) => {
    expect(() => of([0, 10]).put(frame, 1)).toThrow('free already');
  });
});
