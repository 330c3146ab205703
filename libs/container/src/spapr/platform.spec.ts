import { POWERNV } from './powernv.js';
import { PSERIES } from './pseries.js';
import { bit, log2, offersPages, shiftRight, u32, windowStart } from './platform.js';

const [K64, K4] = [16, 12];
const MAIN = { pageShift: K64, others: [], failed: false };

describe('numbers as the machine has them', () => {
  it('shifts by the low 7 bits; 64 and more leave nothing', () => {
    expect([bit(0), bit(63), bit(64), bit(127), bit(140), bit(u32(-1))]).toEqual([
      1n,
      1n << 63n,
      0n,
      0n,
      1n << 12n,
      0n,
    ]);
    expect([shiftRight(256n, 4), shiftRight(256n, 64), shiftRight(256n, 132)]).toEqual([16n, 0n, 16n]);
    expect([log2(1n), log2(1n << 63n), log2(0n)]).toEqual([0, 63, 0xffffffff]);
  });

  it('page sizes: 4 KiB, 64 KiB, 2 MiB, and 1 GiB or 16 MiB (p016)', () => {
    const all = Array.from({ length: 70 }, (_, n) => n);
    expect(all.filter((n) => offersPages(POWERNV, n))).toEqual([12, 16, 21, 30]);
    expect(all.filter((n) => offersPages(PSERIES, n))).toEqual([12, 16, 21, 24]);
    expect(offersPages(POWERNV, 140)).toBe(true);
  });
});

describe('bare metal', () => {
  // Bytes of table, twice; from q004, p035, p038.
  it.each([
    [12, 0x8000_0000n, 1, 8n << 20n],
    [12, 1n << 40n, 1, 4n << 30n],
    [16, 1n << 63n, 1, 1n << 51n],
    [16, 1n << 63n, 2, (1n << 51n) + (1n << 28n)],
    [12, 4096n, 5, 640n << 10n],
    [140, 0x1000_0000n, 1, 1n << 20n],
    [16, 4096n, 1, 0n],
    [12, 4096n, 0, 0n],
    [12, 4096n, 6, 0n],
    [12, 0n, 1, 0n],
    [12, 0x3000n, 1, 0n],
  ])('a table of pages of 2^%i for %i bytes in %i levels costs %i', (pageShift, size, levels, bytes) => {
    expect(POWERNV.tableBytes({ pageShift, size, levels }, K64)).toBe(bytes);
  });

  it.each([
    ['3 levels of 64 KiB pages', 16, 1n << 40n, 3, K64, 'EINVAL'],
    ['4 levels of 4 KiB pages', 12, 1n << 40n, 4, K64, 'EINVAL'],
    ['5 levels in a kernel of 4 KiB pages', 12, 1n << 40n, 5, K4, 'EINVAL'],
    ['2 levels whose pages are larger than the window', 16, 4096n, 2, K64, 'EINVAL'],
    ['a level of 32 MiB', 12, 1n << 34n, 1, K64, 'ENOMEM'],
    ['no power of two', 12, 0x3000n, 1, K64, 'EINVAL'],
    ['no level', 12, 4096n, 0, K64, 'EINVAL'],
  ])('%s is refused (p035, SURPRISES 62)', (_what, pageShift, size, levels, kernel, errno) => {
    const where = { ...MAIN, slot: 0, pageShift: kernel };
    expect(POWERNV.place({ pageShift, size, levels }, where)).toEqual({ ok: false, errno });
  });

  it('rounds a window up to a page of table (p056), and places the second at 2^59', () => {
    const small = { pageShift: 12, size: 0x10000n, levels: 1 };
    expect(POWERNV.place(small, { ...MAIN, slot: 0 })).toEqual({
      ok: true,
      value: { pageShift: 12, first: 0, entries: 8192 },
    });
    expect(POWERNV.place(small, { ...MAIN, slot: 0, pageShift: K4 })).toMatchObject({ value: { entries: 512 } });
    const second = POWERNV.place({ pageShift: 21, size: 1n << 31n, levels: 1 }, { ...MAIN, slot: 1 });
    expect(second.ok && windowStart(second.value)).toBe(1n << 59n);
  });
});

describe('under a hypervisor', () => {
  const place = (pageShift: number, size: bigint, slot: number, more = {}) =>
    PSERIES.place({ pageShift, size, levels: 1 }, { ...MAIN, slot, ...more });
  const DYNAMIC = { pageShift: 16, first: 2 ** 43, entries: 4096 };

  it('the default window is restored as small as it is asked for; others are at 2^59 (p033, p036)', () => {
    expect(place(12, 0x1000_0000n, 0)).toEqual({ ok: true, value: { pageShift: 12, first: 0, entries: 65536 } });
    expect(place(16, 0x1000_0000n, 0)).toEqual({ ok: true, value: DYNAMIC });
    expect(place(12, 0x8000_0000n, 0)).toMatchObject({ value: { first: 2 ** 47 } });
  });

  it('there is one dynamic window; no default one beside it, and no second (p034, p035, p037)', () => {
    const others = [DYNAMIC];
    expect(place(12, 0x1000_0000n, 0, { others })).toEqual({ ok: false, errno: 'EPERM' });
    expect(place(16, 0x1000_0000n, 1, { others })).toEqual({ ok: false, errno: 'ENODEV' });
    expect(place(16, 4096n, 0)).toEqual({ ok: false, errno: 'ENODEV' });
    expect(place(12, 1n << 45n, 1)).toEqual({ ok: false, errno: 'EINVAL' });
  });

  it('after a failure nothing is made any more, but what is wrong is still EINVAL (p035)', () => {
    expect(place(12, 0x1000_0000n, 0, { failed: true })).toEqual({ ok: false, errno: 'ENODEV' });
    expect(place(12, 0x3000n, 0, { failed: true })).toEqual({ ok: false, errno: 'EINVAL' });
  });

  it('more levels than one are charged as 4 GiB before they are refused (p035)', () => {
    expect(PSERIES.tableBytes({ pageShift: 12, size: 1n << 30n, levels: 2 }, K64)).toBe(0xffffffffn);
    expect(PSERIES.tableBytes({ pageShift: 12, size: 1n << 30n, levels: 0 }, K64)).toBe(2n << 20n);
    expect(PSERIES.tableBytes({ pageShift: 16, size: 4096n, levels: 1 }, K64)).toBe(0n);
  });
});
