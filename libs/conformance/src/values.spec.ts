import { BadValue, bytesOf, clamped, hexOf, nameIn, unsigned, Variables } from './values.js';

describe('expressions', () => {
  const variables = new Variables();
  variables.set('buf', 0x1000n);

  it.each([
    ['an integer', 5, 5n],
    ['a negative integer', -2, -2n],
    ['digits too long for JSON', '18446744073709551615', 2n ** 64n - 1n],
    ['hex', '0xff', 255n],
    ['a variable', '$buf', 0x1000n],
    ['a variable and more', '$buf+0x10', 0x1010n],
    ['a variable and less', '$buf-16', 0xff0n],
    ['a variable that was never set', '$gone', -1n],
  ] as const)('%s', (_name, expression, value) => expect(variables.number(expression)).toBe(value));

  it.each([['abc'], [1.5], [null], ['$'], ['$buf*2'], [{ zero: 8 }]])('%j is none', (wrong) =>
    expect(() => variables.number(wrong)).toThrow(BadValue),
  );

  it('a copy does not change its source', () => {
    const copy = new Variables(variables);
    copy.set('buf', 7n);
    expect([copy.get('buf'), variables.get('buf')]).toEqual([7n, 0x1000n]);
  });
});

describe('numbers of the kernel', () => {
  it('fds are signed', () => expect([clamped(2n ** 64n - 1n), clamped(-1n), clamped(3n)]).toEqual([-1, -1, 3]));
  it('addresses are unsigned, and cut where nothing is mapped', () =>
    expect([unsigned(-1n), unsigned(4096n)]).toEqual([Number.MAX_SAFE_INTEGER, 4096]));
  it('only a whole variable has a name', () =>
    expect([nameIn('$a'), nameIn('$a+1'), nameIn('a'), nameIn(3)]).toEqual(['a', 'a', undefined, undefined]));
});

describe('hex', () => {
  it('is bytes in the order of memory', () => expect(hexOf(bytesOf('00ff10'))).toBe('00ff10'));
  it.each(['0', 'xy', 7])('%j is no hex', (wrong) => expect(() => bytesOf(wrong)).toThrow(BadValue));
});
