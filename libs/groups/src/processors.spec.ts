import { mask, ranges } from './processors.js';

it.each([
  [[0], '0', '1'],
  [[0, 1, 2, 3], '0-3', 'f'],
  [[0, 2, 3, 7], '0,2-3,7', '8d'],
  [[31], '31', '80000000'],
  [[0, 32], '0,32', '1,00000001'],
  [[], '', '0'],
])('%j is printed as the list %s and the mask %s', (numbers, list, bits) => {
  expect([ranges(numbers), mask(numbers)]).toEqual([list, bits]);
});
