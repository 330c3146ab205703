import { OrderedMap } from './ordered-map.js';
import { dice } from './testing/harness.js';

/** The same operations on a plain map, whose keys are sorted for every question. */
const sorted = (model: Map<number, number>) => [...model.keys()].sort((a, b) => a - b);

describe('OrderedMap', () => {
  it.each([1, 2, 3])('answers like a sorted list, whatever comes and goes (seed %i)', (seed) => {
    const roll = dice(seed);
    const map = new OrderedMap<number>();
    const model = new Map<number, number>();
    for (let i = 0; i < 4000; i++) {
      const key = roll(600);
      // It grows first and shrinks then, so that chunks are made and joined.
      if (roll(5) < (i < 2500 ? 4 : 1)) {
        map.set(key, i);
        model.set(key, i);
      } else expect(map.delete(key)).toBe(model.delete(key));
      if (i % 40 > 0) continue;
      const keys = sorted(model);
      const probe = roll(600);
      expect(map.size).toBe(model.size);
      expect(map.get(probe)).toBe(model.get(probe));
      expect(map.floor(probe)?.key).toBe(keys.filter((k) => k <= probe).at(-1));
      expect(map.higher(probe)?.key).toBe(keys.find((k) => k > probe));
      expect(Array.from(map.entries(probe, probe + 99), (e) => e.key)).toEqual(
        keys.filter((k) => k >= probe && k < probe + 99),
      );
    }
    expect(Array.from(map.entries(), (e) => [e.key, e.value])).toEqual(sorted(model).map((k) => [k, model.get(k)]));
  });

  it('changes the values of a range and of nothing else', () => {
    const map = new OrderedMap<number>();
    for (let key = 0; key < 500; key++) map.set(key, 0);
    map.update(100, 300, (v) => v + 1);
    expect(Array.from(map.entries(), (e) => e.value)).toEqual(
      Array.from({ length: 500 }, (_, key) => (key >= 100 && key < 300 ? 1 : 0)),
    );
  });

  it('empties from the front and is empty then', () => {
    const map = new OrderedMap<string>();
    for (let key = 0; key < 1000; key++) map.set(key, 'x');
    for (let key = 0; key < 1000; key++) expect(map.delete(key)).toBe(true);
    expect([map.size, map.floor(5000), map.higher(-1), map.delete(3)]).toEqual([0, undefined, undefined, false]);
  });
});
