import { FakeMemory } from '../test/fake-memory.js';
import { copyIn, copyOut, isZeroed, readUserS32, readUserString } from './user-memory.js';

const text = (value: string) => Uint8Array.from(value, (char) => char.charCodeAt(0));

describe('copies', () => {
  const user = new FakeMemory();
  it('no bytes are copied from and to anywhere', () => {
    expect(copyIn(user, 0n, 0)).toEqual({ ok: true, value: new Uint8Array(0) });
    expect(copyOut(user, 0n, new Uint8Array(0))).toEqual({ ok: true, value: undefined });
  });
  it('an unmapped address is EFAULT both ways', () => {
    expect(copyIn(user, 0n, 1)).toEqual({ ok: false, errno: 'EFAULT' });
    expect(copyOut(user, 0n, new Uint8Array(1))).toEqual({ ok: false, errno: 'EFAULT' });
  });
  it('a copy out that meets an unmapped page is EFAULT and leaves what was written before it', () => {
    const memory = new FakeMemory().map(0n, 4096);
    expect(copyOut(memory, 4094n, Uint8Array.of(1, 2, 3))).toEqual({ ok: false, errno: 'EFAULT' });
    expect(memory.read(4094n, 2)).toEqual(Uint8Array.of(1, 2));
  });
  it('a range is zeroed up to its last byte', () => {
    const memory = new FakeMemory().map(0n, 8192);
    memory.write(5000n, text('x'));
    expect(isZeroed(memory, 10n, 4990)).toEqual({ ok: true, value: true });
    expect(isZeroed(memory, 10n, 4991)).toEqual({ ok: true, value: false });
  });
});

describe('readUserS32', () => {
  it.each([
    [Uint8Array.of(0xff, 0xff, 0xff, 0xff), -1],
    [Uint8Array.of(3, 0, 0, 0), 3],
  ])('%s is %d', (bytes, value) => {
    const user = new FakeMemory();
    expect(readUserS32(user, user.placeAtEnd(bytes))).toEqual({ ok: true, value });
  });
  it('three readable bytes are EFAULT', () => {
    const user = new FakeMemory();
    expect(readUserS32(user, user.placeAtEnd(new Uint8Array(3)))).toEqual({ ok: false, errno: 'EFAULT' });
  });
});

describe('readUserString', () => {
  it('a string whose NUL is the last readable byte', () => {
    const user = new FakeMemory();
    expect(readUserString(user, user.placeAtEnd(text('0000:00:03.0\0')))).toEqual({ ok: true, value: '0000:00:03.0' });
  });
  it('a string without a NUL before the unmapped page is EFAULT', () => {
    const user = new FakeMemory();
    expect(readUserString(user, user.placeAtEnd(text('abc')))).toEqual({ ok: false, errno: 'EFAULT' });
  });
  it('a string across a page boundary', () => {
    const user = new FakeMemory().map(0n, 8192);
    user.write(4094n, text('abcdef\0'));
    expect(readUserString(user, 4094n)).toEqual({ ok: true, value: 'abcdef' });
  });
  it.each([
    ['the limit counts the NUL', 7, { ok: true, value: 'abcdef' }],
    ['one byte less is EINVAL', 6, { ok: false, errno: 'EINVAL' }],
  ])('%s', (_rule, limit, expected) => {
    const user = new FakeMemory().map(0n, 4096);
    user.write(0n, text('abcdef\0'));
    expect(readUserString(user, 0n, limit)).toEqual(expected);
  });
});
