import { type Mapping, Mappings } from './mappings.js';

const at = (first: number, count: number): Mapping => ({ first, count, prot: 3, store: first, vaddrInvalid: false });
const of = (...all: Mapping[]): Mappings => {
  const out = new Mappings();
  for (const mapping of all) out.insert(mapping);
  return out;
};
const firsts = (all: Iterable<Mapping>): number[] => [...all].map((m) => m.first);

it('stand in order, however they came', () => {
  expect(firsts(of(at(30, 5), at(10, 5), at(20, 5)))).toEqual([10, 20, 30]);
});

it.each([
  [0, 10, []],
  [0, 11, [10]],
  [14, 20, [10]],
  [15, 20, []],
  [14, 21, [10, 20]],
  [22, 23, [20]],
  [0, 100, [10, 20, 30]],
  [35, 100, []],
])('[%i, %i) meets %j', (first, end, met) => {
  const all = of(at(10, 5), at(20, 5), at(30, 5));
  expect(firsts(all.overlapping(first, end))).toEqual(met);
  expect(all.isFree(first, end)).toBe(met.length === 0);
});

it('a page has one mapping at most', () => {
  const all = of(at(10, 5), at(15, 5));
  expect([9, 10, 14, 15, 19, 20].map((page) => all.at(page)?.first)).toEqual([undefined, 10, 10, 15, 15, undefined]);
});

it('neighbours go together', () => {
  const all = of(at(10, 5), at(20, 5), at(30, 5), at(40, 5));
  all.remove([]);
  all.remove(all.overlapping(20, 31));
  expect(firsts(all)).toEqual([10, 40]);
  all.remove(all.overlapping(0, 100));
  expect(all.size).toBe(0);
});
