import { Access, joinIoas } from './access.js';
import { Ioas, type Area } from './ioas.js';
import { newArea } from './map.js';
import { U64_MAX } from './spans.js';

const put = (ioas: Ioas, start: bigint, length: bigint, startByte = 0n): Area => {
  const area = newArea(start, length, startByte, startByte, 3);
  const placed = ioas.insert(area);
  if (!placed.ok) throw new Error(placed.errno);
  return area;
};

it('an access that pins wants whole pages of the kernel, 64 KiB too (campaign --mix vfio, seed 211)', () => {
  const ioas = new Ioas(0x10000n);
  put(ioas, 0x210000n, 0x31000n);
  expect(joinIoas(new Access(true), ioas)).toEqual({ ok: false, errno: 'EADDRINUSE' });
  expect(joinIoas(new Access(false), ioas).ok).toBe(true);
  expect(ioas.alignment).toBe(1n);
});

describe('a fixed place', () => {
  it.each([
    ['misaligned', 4096n, 0x1800n, 4096n, 'EINVAL'],
    ['past the end of the space', 1n, U64_MAX - 4095n, 8192n, 'EOVERFLOW'],
    ['in a reserved range', 1n, 0xfee00000n, 4096n, 'EINVAL'],
    ['over an area', 1n, 0x1000n, 4096n, 'EEXIST'],
    ['of no length', 1n, 0x9000n, 0n, 'EINVAL'],
    ['of a misaligned length', 4096n, 0x9000n, 100n, 'EINVAL'],
  ])('%s is refused', (_why, alignment, iova, length, errno) => {
    const ioas = new Ioas();
    ioas.reserve({ start: 0xfee00000n, last: 0xfeefffffn, owner: 'msi' });
    put(ioas, 0x1000n, 4096n);
    ioas.alignment = alignment;
    expect(ioas.place(length, iova, 0n)).toEqual({ ok: false, errno });
  });

  it('outside the allowed list is accepted: the list only steers automatic placement', () => {
    const ioas = new Ioas();
    ioas.allow([{ start: 0x100000n, last: 0x1fffffn }]);
    expect(ioas.place(4096n, 0x1000n, 0n)).toEqual({ ok: true, value: 0x1000n });
  });
});

describe('an automatic place', () => {
  // The places that the kernel chose in trace a010, with the mock's aperture from 0x1000000 and alignment 0x800.
  it('is what the kernel chose (a010)', () => {
    const ioas = new Ioas();
    ioas.alignment = 0x800n;
    ioas.reserve({ start: 0n, last: 0xffffffn, owner: 'mock' });
    const buffer = 0x7f00_0000_0000n;
    const map = (length: bigint, source: bigint): bigint => {
      const start = ioas.place(length, undefined, source);
      if (!start.ok) throw new Error(start.errno);
      put(ioas, start.value, length, source % 4096n);
      return start.value;
    };
    expect(map(4096n, buffer)).toBe(0x1000000n);
    expect(map(4096n, buffer)).toBe(0x1001000n);
    expect(map(2048n, buffer + 0x800n)).toBe(0x1002800n);
    expect(map(65536n, buffer)).toBe(0x1010000n);
    expect(map(12288n, buffer)).toBe(0x1004000n);
    expect(map(4096n, buffer)).toBe(0x1003000n);
  });

  it('is never 0 and never in the last page', () => {
    const ioas = new Ioas();
    expect(ioas.place(4096n, undefined, 0n)).toEqual({ ok: true, value: 4096n });
    ioas.reserve({ start: 0n, last: U64_MAX - 8192n, owner: 'x' });
    expect(ioas.place(8192n, undefined, 0x1000n)).toEqual({ ok: false, errno: 'ENOSPC' });
  });

  it.each([
    ['half the space', U64_MAX / 2n, 'EOVERFLOW'],
    ['less aligned than the IOAS', 256n, 'EINVAL'],
  ])('of %s is refused', (_why, length, errno) => {
    const ioas = new Ioas();
    ioas.alignment = length === 256n ? 256n : 1n;
    expect(ioas.place(length, undefined, length === 256n ? 0x80n : 0n)).toEqual({ ok: false, errno });
  });

  it('stays within the allowed ranges, lowest first', () => {
    const ioas = new Ioas();
    ioas.allow([
      { start: 0x50000n, last: 0x5ffffn },
      { start: 0x20000n, last: 0x21fffn },
    ]);
    expect(ioas.place(0x2000n, undefined, 0x1000n)).toEqual({ ok: true, value: 0x20000n });
    expect(ioas.place(0x4000n, undefined, 0x1000n)).toEqual({ ok: true, value: 0x50000n });
    expect(ioas.place(0x20000n, undefined, 0x1000n)).toEqual({ ok: false, errno: 'ENOSPC' });
  });
});

describe('reserved and allowed ranges', () => {
  it('guard each other (a008)', () => {
    const ioas = new Ioas();
    ioas.reserve({ start: 0x1000n, last: 0x1fffn, owner: 'a' });
    expect(ioas.allow([{ start: 0x1800n, last: 0x2800n }])).toEqual({ ok: false, errno: 'EADDRINUSE' });
    expect(ioas.allow([{ start: 0x2000n, last: 0x2fffn }])).toEqual({ ok: true, value: undefined });
    expect(ioas.reserve({ start: 0x2800n, last: 0x3800n, owner: 'b' })).toEqual({ ok: false, errno: 'EADDRINUSE' });
    put(ioas, 0x8000n, 4096n);
    expect(ioas.reserve({ start: 0x8fffn, last: 0x9000n, owner: 'b' })).toEqual({ ok: false, errno: 'EADDRINUSE' });
  });

  it('several owners may reserve the same range; it is free when the last one leaves', () => {
    const ioas = new Ioas();
    for (const owner of ['a', 'b']) ioas.reserve({ start: 0n, last: 0xfffn, owner });
    ioas.unreserve('a');
    expect(ioas.ranges()).toEqual([{ start: 0x1000n, last: U64_MAX }]);
    ioas.unreserve('b');
    expect(ioas.ranges()).toEqual([{ start: 0n, last: U64_MAX }]);
  });
});

it('a larger alignment is refused while an area does not conform', () => {
  const ioas = new Ioas();
  put(ioas, 0x1000n, 100n);
  expect(ioas.checkAlignment(4096n)).toEqual({ ok: false, errno: 'EADDRINUSE' });
  expect(ioas.checkAlignment(1n)).toEqual({ ok: true, value: undefined });
});
