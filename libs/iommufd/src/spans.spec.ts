import { holes, overlaps, SpanSet, U64_MAX, type IovaSpan } from './spans.js';

const span = (start: bigint | number, last: bigint | number): IovaSpan => ({
  start: BigInt(start),
  last: BigInt(last),
});

it.each([
  [span(0, 9), span(10, 19), false],
  [span(0, 10), span(10, 19), true],
  [span(0, U64_MAX), span(U64_MAX, U64_MAX), true],
])('two spans meet only when they share an address', (a, b, expected) => {
  expect(overlaps(a, b)).toBe(expected);
  expect(overlaps(b, a)).toBe(expected);
});

it.each([
  ['nothing is taken', [], [span(0, U64_MAX)]],
  ['the top is taken', [span(2n ** 39n, U64_MAX)], [span(0, 2n ** 39n - 1n)]],
  ['the middle is taken', [span(10, 19)], [span(0, 9), span(20, U64_MAX)]],
  ['takers overlap, in any order', [span(15, 30), span(10, 19)], [span(0, 9), span(31, U64_MAX)]],
  ['one lies inside another', [span(10, 30), span(12, 14)], [span(0, 9), span(31, U64_MAX)]],
  ['everything is taken', [span(0, U64_MAX)], []],
])('holes when %s', (_why, taken, expected) => {
  expect(holes(taken, span(0, U64_MAX))).toEqual(expected);
});

describe('a set of spans', () => {
  it('refuses a span over another', () => {
    const set = new SpanSet<IovaSpan>();
    set.insert(span(10, 20));
    expect(() => set.insert(span(20, 30))).toThrow('over another');
  });

  it('agrees with a list that is searched from end to end', () => {
    const set = new SpanSet<IovaSpan>();
    let naive: IovaSpan[] = [];
    let x = 1;
    const random = (n: number): number => (x = (Math.imul(x, 1103515245) + 12345) >>> 0) % n;
    for (let i = 0; i < 6000; i++) {
      const start = random(100_000);
      const s = span(start, start + random(20));
      const first = naive.find((o) => overlaps(o, s));
      expect(set.first(s)).toBe(first);
      if (first && random(3) === 0) {
        set.delete(first);
        naive = naive.filter((o) => o !== first);
      } else if (!first) {
        set.insert(s);
        naive.push(s);
        naive.sort((a, b) => Number(a.start - b.start));
      }
    }
    expect([...set]).toEqual(naive);
    expect(set.size).toBe(naive.length);
    expect(naive.length).toBeGreaterThan(1500);
  });

  it('holds a span at the very top', () => {
    const set = new SpanSet<IovaSpan>();
    const top = span(U64_MAX - 4095n, U64_MAX);
    set.insert(top);
    expect([...set.within(span(0, U64_MAX))]).toEqual([top]);
  });
});
