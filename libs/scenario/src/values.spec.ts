import { evaluate, hexBytes, integers, littleEndian, milliseconds, payloadBytes, toHex } from './values.js';

const variables = new Map([['iova', 0x1000n]]);

describe('a number is', () => {
  test.each<[string, number | string, bigint]>([
    ['an integer', 12, 12n],
    ['decimal text', '12', 12n],
    ['hex text', '0xffffffffffffffff', 0xffffffffffffffffn],
    ['negative', '-1', -1n],
    ['a size', '16GiB', 1n << 34n],
    ['a size in bytes', '512B', 512n],
    ['a size in hex digits', '0x10KiB', 16384n],
    ['a variable', '$iova', 0x1000n],
    ['a variable and more', '$iova+0x10', 0x1010n],
    ['a variable and less', '$iova-4KiB', 0n],
    ['a constant', 'IOMMU_IOAS_MAP_READABLE', 4n],
    ['constants together', 'IOMMU_IOAS_MAP_READABLE|IOMMU_IOAS_MAP_WRITEABLE', 6n],
  ])('%s', (_rule, raw, value) => expect(evaluate(raw, variables)).toBe(value));
});

test('a variable that was never set is a mistake of the reader', () =>
  expect(() => evaluate('$nobody', variables)).toThrow('$nobody'));

test('times are ms or s', () => expect(['200ms', '2s'].map(milliseconds)).toEqual([200, 2000]));

describe('bytes', () => {
  test('hex digits may be spaced', () => expect(toHex(hexBytes('de ad beef'))).toBe('deadbeef'));
  test('integers are little endian, negative ones in two’s complement', () =>
    expect(toHex(integers([0x0102n, -1n], 4))).toBe('02010000ffffffff'));
  test('and back', () => expect(littleEndian(hexBytes('efcdab8967452301'))).toBe(0x0123456789abcdefn));
  test.each([
    ['hex', { hex: '00ff' }, '00ff'],
    ['text', { text: 'Hi' }, '4869'],
    ['u16', { u16: '$iova' }, '0010'],
    ['nothing', {}, ''],
  ] as const)('a payload of %s', (_kind, payload, digits) =>
    expect(toHex(payloadBytes(payload, variables))).toBe(digits),
  );
});
