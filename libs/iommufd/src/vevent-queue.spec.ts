import { VeventQueue } from './vevent-queue.js';
import { Viommu } from './viommu.js';
import type { PagingHwpt } from './hwpt.js';

const queueOf = (depth: number): VeventQueue => new VeventQueue(new Viommu({} as PagingHwpt), 1, depth);
const EVENT = Uint8Array.of(1, 2, 3, 4);
const numbers = (bytes: Uint8Array): number[] => [...new Uint32Array(bytes.slice().buffer)];
const read = (queue: VeventQueue, length = 64): number[] | string => {
  const r = queue.read(length);
  return r.ok ? numbers(r.value) : r.errno;
};
const WORD = numbers(EVENT)[0]!;

it('a full queue keeps one record of what was lost, with the number of the last (c042)', () => {
  const queue = queueOf(2);
  for (let i = 0; i < 5; i++) queue.report(EVENT);
  expect(queue.events.length).toBe(2);
  expect(read(queue)).toEqual([0, 0, WORD, 0, 1, WORD, 1, 4]);
  expect([read(queue), queue.poll()]).toEqual(['EAGAIN', 0]);
});

it('the next event that finds room takes the place of that record: only the gap shows', () => {
  const queue = queueOf(1);
  for (let i = 0; i < 3; i++) queue.report(EVENT);
  expect(read(queue, 12)).toEqual([0, 0, WORD]);
  queue.report(EVENT);
  expect(read(queue)).toEqual([0, 3, WORD]);
});

it.each([
  [0, 'EINVAL'],
  [11, 'EINVAL'],
  [12, [0, 0, WORD]],
  [23, [0, 0, WORD]],
  [24, [0, 0, WORD, 0, 1, WORD]],
] as const)('a read of %i bytes gives whole records', (length, expected) => {
  const queue = queueOf(4);
  for (let i = 0; i < 2; i++) queue.report(EVENT);
  expect(read(queue, length)).toEqual(expected);
});

it('numbers go on at 0 behind 2^31 - 1', () => {
  const queue = queueOf(2);
  queue.next = 0x7fffffff;
  for (let i = 0; i < 2; i++) queue.report(EVENT);
  expect(read(queue)).toEqual([0, 0x7fffffff, WORD, 0, 0, WORD]);
});

it('I51: numbers that do not go up are found, and those that begin anew at 0 are none', () => {
  const queue = queueOf(4);
  queue.next = 2 ** 31 - 2;
  for (let i = 0; i < 6; i++) queue.report(EVENT);
  expect(queue.check()).toEqual([]);
  queue.events = [...queue.events].reverse();
  expect(queue.check()).toEqual([expect.stringMatching(/^I51: vEVENTQ 0 has number/)]);
});
