import {
  bytes,
  decode,
  decodeArray,
  encode,
  encodeArray,
  flexible,
  nested,
  s32,
  s64,
  struct,
  u16,
  u32,
  u32s,
  u64,
  u64s,
  u8,
  u8_element,
  writeFields,
} from './codec.js';

const inner = struct('inner', 4, { a: u16(0), b: u16(2) });
const sample = struct('sample', 64, {
  byte: u8(0),
  half: u16(2),
  word: u32(4),
  signed: s32(8),
  in: nested(12, inner),
  long: u64(16),
  signedLong: s64(24),
  raw: bytes(32, 3),
  words: u32s(36, 2),
  longs: u64s(48, 2),
});

describe('codec', () => {
  it('values are little endian', () => {
    const image = encode(sample, { half: 0x0102, word: 0x03040506, long: 0x0807060504030201n });
    expect([...image.subarray(2, 8)]).toEqual([2, 1, 6, 5, 4, 3]);
    expect([...image.subarray(16, 24)]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  });

  it.each([
    ['u32 at its top', { word: 0xffff_ffff }],
    ['negative s32', { signed: -1 }],
    ['u64 at its top', { long: 2n ** 64n - 1n }],
    ['u64 with only the high half', { long: 1n << 32n }],
    ['s64 at its bottom', { signedLong: -(2n ** 63n) }],
    ['a nested struct', { in: { a: 1, b: 0xffff } }],
    ['arrays', { words: [1, 0xffff_ffff], longs: [2n ** 63n, 1n], raw: Uint8Array.of(1, 2, 3) }],
  ])('%s survives', (_what, value) => expect(decode(sample, encode(sample, value))).toMatchObject(value));

  it.each([
    ['u8', { byte: 0x1ff }, { byte: 0xff }],
    ['u16', { half: -1 }, { half: 0xffff }],
    ['u32', { word: -1 }, { word: 0xffff_ffff }],
    ['u64', { long: -1n }, { long: 2n ** 64n - 1n }],
    ['u64 too wide', { long: 2n ** 64n + 5n }, { long: 5n }],
  ])('a value too wide for %s is truncated as C does', (_what, value, expected) =>
    expect(decode(sample, encode(sample, value))).toMatchObject(expected),
  );

  it('encode zeroes what is not named, writeFields leaves it', () => {
    const image = new Uint8Array(64).fill(0xaa);
    writeFields(sample, image, { half: 0 });
    expect([...image.subarray(0, 5)]).toEqual([0xaa, 0xaa, 0, 0, 0xaa]);
    expect(encode(sample, { byte: 1 }, image)[4]).toBe(0);
  });

  it('a field given as undefined is not written', () => {
    const image = new Uint8Array(64).fill(0xaa);
    expect(writeFields(sample, image, { ...({ byte: undefined } as object) })[0]).toBe(0xaa);
  });

  it('writes past the end of a short image are dropped and do not lengthen it', () => {
    const image = writeFields(sample, new Uint8Array(6), { word: 0x01020304, long: 9n });
    expect([...image]).toEqual([0, 0, 0, 0, 4, 3]);
  });

  it('encode and decode work in the middle of a buffer', () => {
    const buffer = new Uint8Array(16).fill(0xff);
    encode(inner, { a: 1, b: 2 }, buffer, 8);
    expect(decode(inner, buffer, 8)).toEqual({ a: 1, b: 2 });
    expect([buffer[7], buffer[12]]).toEqual([0xff, 0xff]);
  });

  it('short values of arrays and bytes are padded with zeros, long ones cut', () => {
    const image = encode(sample, { raw: Uint8Array.of(9), words: [7], longs: [1n, 2n, 3n] });
    expect(decode(sample, image)).toMatchObject({ raw: Uint8Array.of(9, 0, 0), words: [7, 0], longs: [1n, 2n] });
  });

  it('decoded bytes are a copy', () => {
    const image = encode(sample, { raw: Uint8Array.of(1, 2, 3) });
    const { raw } = decode(sample, image);
    image.fill(0);
    expect(raw).toEqual(Uint8Array.of(1, 2, 3));
  });

  it('arrays of structs: as many as there are, and one more is a bug', () => {
    const image = encodeArray(inner, [{ a: 1, b: 2 }, { a: 3 }]);
    expect(decodeArray(inner, image, 0, 2)).toEqual([
      { a: 1, b: 2 },
      { a: 3, b: 0 },
    ]);
    expect(() => decodeArray(inner, image, 0, 3)).toThrow('3 inner end at byte 12, there are 8');
  });

  it('an unknown field name is a bug', () =>
    expect(() => writeFields(sample, new Uint8Array(64), { ...({ nope: 1 } as object) })).toThrow(
      'struct sample has no field nope',
    ));

  it('a field that does not fit its struct is a bug', () =>
    expect(() => struct('bad', 4, { a: u32(1) })).toThrow('struct bad: field a ends behind byte 4'));

  it('a flexible array names its element', () =>
    expect(struct('open', 4, { n: u32(0) }, flexible('data', 4, u8_element)).flexible).toEqual({
      name: 'data',
      offset: 4,
      element: u8_element,
    }));
});
