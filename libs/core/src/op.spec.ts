import { type Holder, Lock } from './op.js';

const holder = (): Holder => ({ held: [] });

it.each([
  ['two readers', false, false, true],
  ['a reader and a writer', false, true, false],
  ['a writer and a reader', true, false, false],
  ['two writers', true, true, false],
])('%s at once', (_who, first, second, allowed) => {
  const lock = new Lock();
  expect(lock.acquire(holder(), first)).toBe(true);
  expect(lock.acquire(holder(), second)).toBe(allowed);
});

it('a reader that comes after a waiting writer waits behind it', () => {
  const lock = new Lock();
  const [reader, writer, late] = [holder(), holder(), holder()];
  lock.acquire(reader, false);
  lock.acquire(writer, true);
  expect(lock.acquire(late, false)).toBe(false);
  expect(lock.release(reader)).toEqual([writer]);
  expect(lock.release(writer)).toEqual([late]);
  expect(lock.release(late)).toEqual([]);
  expect(lock.idle).toBe(true);
});

it('a reader may read again, even past a waiting writer, and has to release as often', () => {
  const lock = new Lock();
  const [reader, writer] = [holder(), holder()];
  lock.acquire(reader, false);
  lock.acquire(writer, true);
  expect(lock.acquire(reader, false)).toBe(true);
  expect(lock.release(reader)).toEqual([]);
  expect(lock.release(reader)).toEqual([writer]);
  expect(reader.held).toEqual([]);
});

it('waiting for a lock that one holds is a bug of ours', () => {
  const lock = new Lock();
  const writer = holder();
  lock.acquire(writer, true);
  expect(() => lock.acquire(writer, false)).toThrow('that it holds');
  expect(() => lock.release(holder())).toThrow('does not hold');
});
