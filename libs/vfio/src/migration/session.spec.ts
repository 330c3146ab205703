import { ByteReader, ByteWriter } from '@vfiolab/core';
import { Session } from './session.js';

const image = (fill: number): Uint8Array => new Uint8Array(10).fill(fill);

test('saving keeps what was not read, and adds a state only when it changed', () => {
  const s = new Session('save', 10);
  s.add(image(1), true);
  s.add(image(1), false);
  expect([s.left, s.initialLeft, [...s.read(4)]]).toEqual([10, 10, [1, 1, 1, 1]]);
  s.add(image(2), false);
  expect([s.left, s.initialLeft]).toEqual([16, 6]);
  expect([...s.read(7)]).toEqual([1, 1, 1, 1, 1, 1, 2]);
  expect([s.left, s.initialLeft, s.isNewest(image(2)), s.read(100).length, s.left]).toEqual([9, 0, true, 9, 0]);
});

test('resuming keeps the last image and what came of the next, however long the stream is', () => {
  const s = new Session('resume', 10);
  expect(s.received).toBeUndefined();
  for (let i = 0; i < 1000; i++) s.write(image(i & 0xff));
  expect([...s.received!]).toEqual([...image(999 & 0xff)]);
  s.write(new Uint8Array(3));
  expect([s.received, s.left]).toEqual([undefined, 13]);
  s.write(new Uint8Array(7).fill(9));
  expect([...s.received!]).toEqual([0, 0, 0, 9, 9, 9, 9, 9, 9, 9]);
});

test('a snapshot brings a session back', () => {
  const s = new Session('save', 10);
  s.add(image(1), true);
  s.read(3);
  s.ended = true;
  const w = new ByteWriter();
  s.encode(w);
  const again = Session.decode(new ByteReader(w.take()));
  expect([again.left, again.initialLeft, again.ended, again.direction, again.isNewest(image(1))]).toEqual([
    7,
    7,
    true,
    'save',
    true,
  ]);
});
