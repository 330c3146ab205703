import { TceTable } from './tce-table.js';

const piece = (entry: number, count: number, source = 1, at = 0) => ({ entry, count, prot: 3, source, at });

it('a range that is taken cuts what it meets, and memory goes on behind the cut', () => {
  const table = new TceTable(16);
  table.put(piece(100, 10, 1, 32));
  table.put(piece(10, 10, 2));
  expect(table.take(104, 106)).toEqual([piece(104, 2, 1, 96)]);
  expect([...table]).toEqual([piece(10, 10, 2), piece(100, 4, 1, 32), piece(106, 4, 1, 128)]);
  expect(table.take(15, 103)).toEqual([piece(15, 5, 2, 80), piece(100, 3, 1, 32)]);
  expect([...table]).toEqual([piece(10, 5, 2), piece(103, 1, 1, 80), piece(106, 4, 1, 128)]);
  expect(table.size).toBe(3);
});

it('nothing is taken from an empty range, or where nothing is', () => {
  const table = new TceTable(1);
  table.put(piece(5, 5));
  for (const [first, end] of [
    [7, 7],
    [0, 5],
    [10, 90],
  ] as const)
    expect(table.take(first, end)).toEqual([]);
  expect(table.take(0, 100)).toEqual([piece(5, 5)]);
  expect([...table]).toEqual([]);
});
