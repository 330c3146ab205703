import { ByteReader, ByteWriter, WireError } from './bytes.js';
import {
  api,
  bool,
  bytes,
  i32,
  list,
  message,
  method,
  nothing,
  num,
  oneOf,
  optional,
  result,
  str,
  u16,
  u32,
  u64,
  u8,
} from './codec.js';

const codecs = [
  ['u8', u8, [0, 1, 255]],
  ['u16', u16, [0, 0xffff]],
  ['u32', u32, [0, 0xffffffff]],
  ['i32', i32, [0, -1, 0x7fffffff, -0x80000000]],
  ['num', num, [0, 2 ** 32, Number.MAX_SAFE_INTEGER]],
  ['u64', u64, [0n, 2n ** 64n - 1n, 2n ** 63n]],
  ['bool', bool, [true, false]],
  ['str', str, ['', 'plain', 'ümläut', 'x'.repeat(5000)]],
  ['bytes', bytes, [new Uint8Array(0), new Uint8Array([1, 2, 3])]],
  ['list', list(num), [[], [1, 2, 3]]],
  ['optional', optional(str), [undefined, 'x']],
  ['oneOf', oneOf('a', 'b'), ['a', 'b']],
  [
    'result',
    result(num),
    [
      { ok: true, value: 3 },
      { ok: false, errno: 'EADDRINUSE' },
    ],
  ],
  ['message', message({ a: u8, b: str }), [{ a: 1, b: 'x' }]],
] as const;

describe.each(codecs)('%s', (_name, codec, values) => {
  it('is read back as it was written, and every shorter piece is refused', () => {
    for (const value of values) {
      const w = new ByteWriter(1);
      codec.write(w, value as never);
      const out = w.take();
      const r = new ByteReader(out);
      expect(codec.read(r)).toEqual(value);
      r.done();
      for (let cut = 0; cut < Math.min(out.length, 40); cut++)
        expect(() => codec.read(new ByteReader(out.subarray(0, cut)))).toThrow(WireError);
    }
  });
});

it.each([
  ['a number of 2^53', num, [0, 0, 0, 0, 0, 0, 0x20, 0]],
  ['a boolean of 2', bool, [2]],
  ['a list longer than its bytes', list(u8), [255, 255, 255, 255]],
  ['an errno that does not exist', result(nothing), [0xee, 0xee]],
  ['a word that is not in the list', oneOf('a'), [7]],
])('%s is refused', (_why, codec, raw) => {
  expect(() => codec.read(new ByteReader(new Uint8Array(raw)))).toThrow(WireError);
});

it.each(['', 'client:a', 'client:b', 'cliént:a', 'x'.repeat(100)])(
  'a string is read whatever was expected: %s',
  (text) => {
    const w = new ByteWriter();
    w.str(text);
    w.u8(7);
    for (const expected of ['', 'client:a', 'client:', text]) {
      const r = new ByteReader(w.take());
      expect(r.strLike(expected)).toBe(text);
      expect(r.u8()).toBe(7);
      r.done();
    }
    expect(() => new ByteReader(w.take().subarray(0, 3)).strLike(text)).toThrow(WireError);
  },
);

it('two methods with one number are a bug of ours', () => {
  expect(() => api('x', { a: method(1, nothing, nothing), b: method(1, nothing, nothing) })).toThrow('taken');
});
