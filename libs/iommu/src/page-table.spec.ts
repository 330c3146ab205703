import { ByteReader, ByteWriter } from '@vfiolab/core';
import { FRAME_LIMIT, IOVA_LIMIT, PageTable } from './page-table.js';
import { gigabyteTable, lookupAll, scatteredTable } from './page-table-figures.js';
import { decodeTable, encodeTable, leafRuns, permissionRuns } from './runs.js';
import type { TablePool } from './table-pool.js';
import { NaiveTable } from './testing/naive-table.js';
import { random } from './testing/random.js';

const RW = 3;
const MIB2 = 512;
const GIB = 512 * 512;

/** [iova, frame, count, level] of every run. */
const shape = (t: PageTable): number[][] => leafRuns(t).map((r) => [r.iova, r.frame, r.count, r.level]);

const snapshot = (t: PageTable): Uint8Array => {
  const w = new ByteWriter();
  encodeTable(w, t);
  return w.take();
};
const restored = (bytes: Uint8Array): PageTable => {
  const t = new PageTable();
  decodeTable(new ByteReader(bytes), t);
  return t;
};

describe('leaf sizes', () => {
  test.each([
    ['one granule is a small leaf', [5, 9, 1], [[5, 9, 1, 0]]],
    ['512 aligned granules are one 2 MiB leaf', [MIB2, 2 * MIB2, MIB2], [[MIB2, 2 * MIB2, MIB2, 1]]],
    ['an unaligned frame allows small leaves only', [0, 1, MIB2], [[0, 1, MIB2, 0]]],
    ['an aligned GiB is one leaf', [GIB, 0, GIB], [[GIB, 0, GIB, 2]]],
    ['the largest leaf at IOVA 0', [0, 0, GIB], [[0, 0, GIB, 2]]],
    [
      'two GiB at the top of the IOVA space',
      [IOVA_LIMIT - 2 * GIB, 0, 2 * GIB],
      [[IOVA_LIMIT - 2 * GIB, 0, 2 * GIB, 2]],
    ],
    [
      'a run that starts and ends unaligned uses every size',
      [GIB - MIB2 - 1, GIB - MIB2 - 1, GIB + 2 * MIB2 + 2],
      [
        [GIB - MIB2 - 1, GIB - MIB2 - 1, 1, 0],
        [GIB - MIB2, GIB - MIB2, MIB2, 1],
        [GIB, GIB, GIB, 2],
        [2 * GIB, 2 * GIB, MIB2, 1],
        [2 * GIB + MIB2, 2 * GIB + MIB2, 1, 0],
      ],
    ],
  ] as const)('%s', (_rule, [iova, frame, count], expected) => {
    const t = new PageTable();
    expect(t.map(iova, frame, count, RW)).toBe(true);
    expect(shape(t)).toEqual(expected);
    expect(t.lookup(iova + count - 1)).toBe(frame + count - 1);
    expect(t.lookup(iova + count)).toBe(-1);
    expect(t.check()).toEqual([]);
  });

  test('the last frame and the last granule can be mapped', () => {
    const t = new PageTable();
    t.map(IOVA_LIMIT - 1, FRAME_LIMIT - 1, 1, RW);
    expect(t.lookup(IOVA_LIMIT - 1)).toBe(FRAME_LIMIT - 1);
  });
});

describe('map', () => {
  test.each([
    ['over a small leaf', 3, 1],
    ['over a part of a large leaf', MIB2 + 7, 1],
    ['across the start of a large leaf', MIB2 - 2, 4],
    ['large over a table of small leaves', 0, MIB2],
  ])('an overlap is a bug of the caller: %s', (_rule, iova, count) => {
    const t = new PageTable();
    t.map(3, 77, 1, RW);
    t.map(MIB2, 0, MIB2, RW);
    expect(t.isFree(iova, count)).toBe(false);
    expect(() => t.map(iova, 4 * MIB2, count, RW)).toThrow(/overlap/);
  });

  test.each([
    ['nothing', 0, 0, 0],
    ['beyond the last granule', IOVA_LIMIT, 0, 1],
    ['beyond the last frame', 0, FRAME_LIMIT, 1],
    ['before IOVA 0', -1, 0, 1],
  ])('throws on %s', (_rule, iova, frame, count) => {
    expect(() => new PageTable().map(iova, frame, count, RW)).toThrow(/no such mapping/);
  });

  test.each([1, 2, 3, 4, 5, 6])('with %i tables a map that needs more changes nothing', (limit) => {
    const t = new PageTable(limit);
    const kept = t.map(7, 1, 1, RW);
    const before = [...snapshot(t)];
    expect(t.map(MIB2 - 1, 1, 6 * MIB2, RW)).toBe(false);
    expect([...snapshot(t)]).toEqual(before);
    expect(t.mapped).toBe(kept ? 1 : 0);
    expect(t.check()).toEqual([]);
    expect(t.tables).toBeLessThanOrEqual(limit);
  });
});

describe('unmap', () => {
  test('a large leaf cut by an unmap is split, and the rest stays where it was', () => {
    const t = new PageTable();
    t.map(0, GIB, GIB, RW);
    expect(t.unmap(5 * MIB2 + 3, 2)).toBe(2);
    expect(t.lookup(5 * MIB2 + 2)).toBe(GIB + 5 * MIB2 + 2);
    expect(t.lookup(5 * MIB2 + 3)).toBe(-1);
    expect(t.lookup(GIB - 1)).toBe(2 * GIB - 1);
    expect(t.mapped).toBe(GIB - 2);
    expect(t.check()).toEqual([]);
  });

  test('a split needs no table of the limit: clearing never fails', () => {
    const t = new PageTable(1);
    t.map(0, 0, GIB, RW);
    expect(t.unmap(1, 1)).toBe(1);
    expect(t.tables).toBe(3);
    expect(t.check()).toEqual([]);
    const small = new PageTable(1);
    decodeTable(new ByteReader(snapshot(t)), small);
    expect(snapshot(small)).toEqual(snapshot(t));
  });

  test('holes in the range are no matter, and the count is what was mapped', () => {
    const t = new PageTable();
    t.map(10, 0, 5, RW);
    t.map(1000, 50, 5, RW);
    expect(t.unmap(0, IOVA_LIMIT)).toBe(10);
    expect(t.unmap(0, IOVA_LIMIT)).toBe(0);
  });

  test('tables are reused: mapping and unmapping for ever takes no more memory', () => {
    const t = new PageTable();
    t.map(0, 0, 1, RW);
    const once = (): void => {
      t.map(GIB + 1, 1, 3 * MIB2, RW);
      t.unmap(GIB + 1, 3 * MIB2);
    };
    once();
    const { bytes } = t;
    for (let i = 0; i < 1000; i++) once();
    expect(t.bytes).toBe(bytes);
    expect(t.check()).toEqual([]);
  });

  test('an emptied large table gives its memory back', () => {
    const t = scatteredTable(60000);
    t.unmap(0, 60000);
    expect(t.bytes).toBe(0);
  });
});

describe('dirty and permissions', () => {
  test('a write to one page makes a whole large leaf dirty, and a split keeps that', () => {
    const t = new PageTable();
    t.map(0, 0, MIB2, RW);
    t.markDirty(7);
    t.unmap(0, 1);
    expect(leafRuns(t)).toEqual([{ iova: 1, frame: 1, count: MIB2 - 1, level: 0, flags: RW | 4 }]);
  });

  test('a page that is not mapped cannot be dirty', () => {
    expect(() => new PageTable().markDirty(0)).toThrow(/not mapped/);
  });

  test('stretches of equal permission join over scattered frames and leaf sizes', () => {
    const t = new PageTable();
    t.map(MIB2 - 1, 9, 1, 1);
    t.map(MIB2, 0, MIB2, 1);
    t.map(2 * MIB2, 5, 1, RW);
    expect(permissionRuns(t).map((r) => [r.iova, r.count, r.flags])).toEqual([
      [MIB2 - 1, MIB2 + 1, 1],
      [2 * MIB2, 1, RW],
    ]);
  });
});

describe('check', () => {
  /** What a bug could do to a table, done to its insides. */
  interface Insides {
    mappedGranules: number;
    pool: TablePool;
    root: number;
  }
  test.each([
    ['a count of granules that is wrong', (t: Insides) => t.mappedGranules++, /513 granules counted, 512 found/],
    ['a table that nothing leads to', (t: Insides) => t.pool.take(), /2 tables taken, 1 reached/],
    ['a count of entries that is wrong', (t: Insides) => t.pool.live[t.root]!++, /counts 2 entries, has 1/],
    [
      'a large leaf whose frame is not aligned',
      (t: Insides) => t.pool.values.fill(5, t.root * 512),
      /leaf at 512 is not aligned/,
    ],
    ['an empty table', (t: Insides) => t.pool.flags.fill(0, t.root * 512), /is empty/],
  ])('reports %s', (_rule, damage, words) => {
    const t = new PageTable();
    t.map(512, 1024, 512, RW);
    expect(t.check()).toEqual([]);
    damage(t as unknown as Insides);
    expect(t.check().join('\n')).toMatch(words);
  });
});

describe('figures', () => {
  test('a scattered 4 KiB page takes at most 8 bytes', () => {
    expect(scatteredTable(60000).bytes / 60000).toBeLessThanOrEqual(8);
  });
  test('1 TiB in runs of 1 GiB takes less than 64 KiB', () => {
    const t = gigabyteTable(1024);
    expect(t.mapped).toBe(2 ** 28);
    expect(t.bytes).toBeLessThan(65536);
    expect(t.check()).toEqual([]);
  });
  test('the load looks every IOVA up', () => {
    const t = new PageTable();
    t.map(4, 10, 3, RW);
    expect(lookupAll(t, Uint32Array.of(4, 6, 5))).toBe(10 + 12 + 11);
  });
  test('a scattered neighbour takes 5 bytes of a snapshot', () => {
    expect(snapshot(scatteredTable(1000)).length).toBe(4 + 1000 * 5);
  });
});

/** Sizes and places that meet at the borders of leaves and levels. */
const COUNTS = [1, 1, 2, 3, 511, 512, 513, 1024, 4096];
const BASES = [0, GIB - 2048, 2 ** 27 - 1024, 2 ** 36 - 4096, IOVA_LIMIT - 8192];

describe.each([1, 2, 3, 4, 5, 6])('random map and unmap, seed %i', (seed) => {
  test('the table says what a Map of granules says, survives its snapshot, and loses no table', () => {
    const next = random(seed);
    const table = new PageTable();
    const model = new NaiveTable();
    for (let step = 0; step < 300; step++) {
      const count = COUNTS[next(COUNTS.length)]!;
      const base = BASES[next(BASES.length)]!;
      const iova = base + (next(2) === 0 ? next(8192 - count) : 512 * next(8));
      if (next(5) < 3) {
        expect(table.isFree(iova, count)).toBe(model.isFree(iova, count));
        const frame = next(2) === 0 ? 512 * next(1000) : next(500000);
        const prot = 1 + next(3);
        if (!model.isFree(iova, count)) continue;
        expect(table.map(iova, frame, count, prot)).toBe(true);
        model.map(iova, frame, count, prot);
      } else {
        expect(table.unmap(iova, count)).toBe(model.unmap(iova, count));
      }
      if (step % 25 === 0) expect(table.check()).toEqual([]);
    }
    expect(table.mapped).toBe(model.pages.size);
    for (const [iova, { frame, prot }] of model.pages) {
      if (table.lookup(iova) !== frame) throw new Error(`granule ${iova}: ${table.lookup(iova)}, not ${frame}`);
      expect([table.foundReadable, table.foundWritable]).toEqual([(prot & 1) !== 0, (prot & 2) !== 0]);
    }
    const bytes = snapshot(table);
    expect(snapshot(restored(bytes))).toEqual(bytes);
    expect(restored(bytes).check()).toEqual([]);
  });
});
