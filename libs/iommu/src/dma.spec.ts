import { BLOCKING, KERNEL, MAX_DMA } from '@vfiolab/core';
import { MAX_DMAS } from './dma.js';
import { attachedBench, type Bench, benchOf, DEV, PAIR } from './testing/bench.js';
import { MAX_FAULTS } from './unit.js';

const EMPTY = new Uint8Array();
const PAGE = 4096n;
const BASE = 16n * PAGE;
const bytes = (n: number): Uint8Array => Uint8Array.from({ length: n }, (_, i) => i & 255);
const read = (iova: bigint, length: number, bdf = DEV) => ({ bdf, iova, write: false, length, data: EMPTY });
const write = (iova: bigint, data: Uint8Array, bdf = DEV) => ({ bdf, iova, write: true, length: data.length, data });
const done = { ok: true, value: undefined };

describe('a DMA that may be done', () => {
  test('a read returns the bytes behind its IOVA', () => {
    const bench = attachedBench();
    const dma = bench.ask('dma', read(BASE + 4000n, 200));
    expect(bench.pagesAnswer(bytes(200)).pieces).toEqual([{ frame: 100, offset: 4000, length: 200 }]);
    expect(dma.value).toEqual({ data: bytes(200), fault: undefined });
  });

  test('a write hands its bytes over in one piece for neighbouring frames, one for each other', () => {
    const bench = attachedBench();
    const runs = [
      { frame: 9, count: 1 },
      { frame: 7, count: 1 },
    ];
    bench.now('map', { domains: [1], iova: 20, runs, prot: 3 });
    const dma = bench.ask('dma', write(BASE + 3n * PAGE - 1n, bytes(4097 + 4096 + 1)));
    const held = bench.pagesAnswer();
    expect(held.pieces).toEqual([
      { frame: 102, offset: 4095, length: 4097 },
      { frame: 9, offset: 0, length: 4096 },
      { frame: 7, offset: 0, length: 1 },
    ]);
    expect(held.data).toEqual(bytes(8194));
    expect(dma.value).toEqual({ data: EMPTY, fault: undefined });
  });

  test('a large page serves every byte of it', () => {
    const bench = attachedBench();
    bench.now('map', { domains: [1], iova: 512, runs: [{ frame: 1024, count: 512 }], prot: 3 });
    bench.ask('dma', read(512n * PAGE + 300n * PAGE, MAX_DMA / 2));
    expect(bench.pagesAnswer(bytes(MAX_DMA / 2)).pieces).toEqual([{ frame: 1324, offset: 0, length: MAX_DMA / 2 }]);
  });

  test('small pages are asked for: 512 leaves of one table more, with the same frames', () => {
    const bench = attachedBench();
    const tables = () => Number(/(\d+) tables/.exec(bench.core.describe().join())![1]);
    const run = { frame: 1024, count: 512 };
    bench.now('map', { domains: [1], iova: 512, runs: [run], prot: 3, small: false });
    const before = tables();
    bench.now('map', { domains: [1], iova: 1024, runs: [run], prot: 3, small: true });
    expect(tables()).toBe(before + 1);
    expect(bench.now('lookup', { domain: 1, iova: 1024, count: 512 })).toEqual([run]);
  });

  test('the longest DMA, unaligned over scattered frames, is 65 pieces', () => {
    const bench = attachedBench();
    const runs = Array.from({ length: 65 }, (_, i) => ({ frame: 200 + 2 * i, count: 1 }));
    bench.now('map', { domains: [1], iova: 1000, runs, prot: 3 });
    const dma = bench.ask('dma', write(1000n * PAGE + 1n, bytes(MAX_DMA)));
    expect(bench.pagesAnswer().pieces.length).toBe(65);
    expect(dma.value!.fault).toBeUndefined();
  });

  test('nothing to move is done at once', () => {
    expect(attachedBench().now('dma', read(BASE, 0))).toEqual({ data: EMPTY, fault: undefined });
  });

  test('a write marks its pages dirty, a read does not, and no client can tell', () => {
    const bench = attachedBench();
    const clean = [bench.machine.stateBytes('snapshot'), bench.machine.stateBytes('meaning')];
    bench.ask('dma', read(BASE, 8));
    bench.pagesAnswer(bytes(8));
    expect(bench.machine.stateBytes('snapshot')).toEqual(clean[0]);
    bench.ask('dma', write(BASE + 4095n, bytes(2)));
    bench.pagesAnswer();
    expect(bench.machine.stateBytes('snapshot')).not.toEqual(clean[0]);
    expect(bench.machine.stateBytes('meaning')).toEqual(clean[1]);
  });

  test('the last byte of a 64-bit aperture can be reached, and none behind it', () => {
    const bench = attachedBench('amd-vi');
    const last = 2 ** 52 - 1;
    bench.now('map', { domains: [1], iova: last, runs: [{ frame: 3, count: 1 }], prot: 1 });
    bench.ask('dma', read(2n ** 64n - 1n, 1));
    expect(bench.pagesAnswer(bytes(1)).pieces).toEqual([{ frame: 3, offset: 4095, length: 1 }]);
    const beyond = bench.now('dma', read(2n ** 64n - 1n, 2));
    expect(beyond.fault).toMatchObject({ iova: 2n ** 64n - 1n, reason: 'wraps around' });
  });
});

describe('a DMA that may not be done is refused, moves nothing and is recorded', () => {
  const attach = (bench: Bench, domain: number): unknown => bench.now('attach', { bdfs: [DEV], domain });
  test.each([
    ['blocking', (b: Bench) => attach(b, BLOCKING), read(BASE, 4), BASE],
    ['kernel domain', (b: Bench) => attach(b, KERNEL), read(BASE, 4), BASE],
    ['kernel domain', () => undefined, read(5n, 4, PAIR[0]), 5n],
    ['not mapped', () => undefined, read(0n, 4), 0n],
    ['not mapped', () => undefined, write(BASE + 4n * PAGE - 4n, bytes(5)), BASE + 4n * PAGE],
    [
      'not mapped',
      (b: Bench) => b.now('unmap', { domains: [1], spans: [{ iova: 17, count: 1 }] }),
      read(BASE + 7n, 8192),
      BASE + PAGE,
    ],
    [
      'not writable',
      (b: Bench) => b.now('map', { domains: [1], iova: 20, runs: [{ frame: 1, count: 1 }], prot: 1 }),
      write(BASE + 4n * PAGE - 1n, bytes(9)),
      BASE + 4n * PAGE,
    ],
    [
      'not readable',
      (b: Bench) => b.now('map', { domains: [1], iova: 20, runs: [{ frame: 1, count: 1 }], prot: 2 }),
      read(BASE + 4n * PAGE + 9n, 9),
      BASE + 4n * PAGE + 9n,
    ],
    ['msi window', () => undefined, write(0xfee00000n, bytes(4)), 0xfee00000n],
    [
      'msi window',
      (b: Bench) => b.now('map', { domains: [1], iova: 0xfeeff, runs: [{ frame: 1, count: 1 }], prot: 3 }),
      read(0xfeefffffn, 1),
      0xfeefffffn,
    ],
    ['outside the aperture', () => undefined, read(1n << 48n, 1), 1n << 48n],
    ['longer than 262144 bytes', () => undefined, read(BASE, MAX_DMA + 1), BASE],
    ['length does not match the data', () => undefined, { ...write(BASE, bytes(4)), length: 3 }, BASE],
    ['length does not match the data', () => undefined, { ...read(BASE, 4), data: bytes(4) }, BASE],
  ])('%s', (reason, prepare, args, iova) => {
    const bench = attachedBench('intel-vtd', '7.2');
    prepare(bench);
    const clean = bench.core.describe().filter((line) => line.startsWith('domain'));
    const fault = { bdf: args.bdf, iova, write: args.write, reason };
    expect(bench.now('dma', args)).toEqual({ data: EMPTY, fault });
    expect(bench.now('faults', { bdf: args.bdf })).toEqual([fault]);
    expect(bench.held).toEqual([]);
    expect(bench.core.describe().filter((line) => line.startsWith('domain'))).toEqual(clean);
  });

  test.each([
    ['intel-vtd', '6.12', true],
    ['intel-vtd', '7.2', false],
    ['intel-vtd-fs', '7.2', true],
    ['arm-smmu-v3', '7.2', true],
    ['arm-smmu-v3-s2', '7.2', false],
    ['amd-vi', '7.2', false],
  ])('%s of %s: what may be written may be read: %s (DIFF 18, SURPRISES 76)', (kind, profile, readable) => {
    const bench = attachedBench(kind, profile);
    bench.now('map', { domains: [1], iova: 20, runs: [{ frame: 1, count: 1 }], prot: 2 });
    const dma = bench.ask('dma', read(BASE + 4n * PAGE, 1));
    expect(dma.value?.fault?.reason).toBe(readable ? undefined : 'not readable');
    expect(bench.held.length).toBe(readable ? 1 : 0);
  });

  test('without an IOMMU nothing translates', () => {
    expect(benchOf('none').now('dma', read(0n, 4)).fault?.reason).toBe('no iommu');
  });

  test('a function that the IOMMU does not know has no records', () => {
    const bench = attachedBench();
    expect(bench.now('dma', read(BASE, 4, '0000:00:1f.0')).fault?.reason).toBe('no such function');
    expect(bench.now('faults', { bdf: '0000:00:1f.0' })).toEqual([]);
  });

  test('a refused write leaves no dirty bit on the pages before the refused one', () => {
    const bench = attachedBench();
    const table = (): Uint8Array => bench.machine.stateBytes('snapshot');
    bench.now('dma', write(0n, bytes(1)));
    const before = table().length;
    bench.now('dma', write(BASE + 3n * PAGE, bytes(4097)));
    const after = table();
    expect(after.length).toBe(before + 4 + DEV.length + 8 + 1 + 4 + 'not mapped'.length + 1);
    bench.ask('dma', write(BASE + 3n * PAGE, bytes(4096)));
    bench.pagesAnswer();
    expect(table().length).toBeGreaterThan(after.length);
  });

  test('the newest 256 faults of a function are kept, oldest first, and others keep theirs', () => {
    const bench = attachedBench();
    bench.now('dma', read(7n, 1, PAIR[0]));
    for (let i = 0; i < MAX_FAULTS; i++) bench.now('dma', read(BigInt(i), 1));
    expect(bench.now('faults', { bdf: DEV })[0]!.iova).toBe(0n);
    bench.now('dma', read(999n, 1));
    const faults = bench.now('faults', { bdf: DEV });
    expect([faults.length, faults[0]!.iova, faults[255]!.iova]).toEqual([MAX_FAULTS, 1n, 999n]);
    expect(bench.now('faults', { bdf: PAIR[0]! }).length).toBe(1);
  });
});

describe('changes wait for the DMAs that were translated before', () => {
  const clear = (b: Bench) => b.ask('unmap', { domains: [1], spans: [{ iova: 16, count: 4 }] });

  test('unmap: PTEs are gone at once, the answer comes when the DMA has landed', () => {
    const bench = attachedBench();
    const dma = bench.ask('dma', write(BASE, bytes(8)));
    const unmap = clear(bench);
    expect(unmap.value).toBeUndefined();
    expect(bench.now('dma', read(BASE, 8)).fault?.reason).toBe('not mapped');
    expect(unmap.value).toBeUndefined();
    bench.pagesAnswer();
    expect(dma.value).toEqual({ data: EMPTY, fault: undefined });
    expect(unmap.value).toBeNull();
  });

  test('unmap waits for every DMA before it, in whatever order they land, and for none after it', () => {
    const bench = attachedBench();
    bench.now('map', { domains: [1], iova: 40, runs: [{ frame: 400, count: 1 }], prot: 3 });
    bench.ask('dma', read(BASE, 1));
    bench.ask('dma', read(BASE + PAGE, 1));
    const unmap = clear(bench);
    const later = bench.ask('dma', read(40n * PAGE, 1));
    bench.held.push(bench.held.shift()!);
    bench.pagesAnswer(bytes(1));
    expect(unmap.value).toBeUndefined();
    bench.held.push(bench.held.shift()!);
    bench.pagesAnswer(bytes(1));
    expect(unmap.value).toBeNull();
    expect(later.value).toBeUndefined();
    bench.pagesAnswer(bytes(1));
    expect(later.value?.data).toEqual(bytes(1));
  });

  test('unmap of several domains waits for the DMAs of each', () => {
    const bench = attachedBench();
    bench.now('domainAlloc', { bdf: DEV, flags: 0 });
    bench.now('attach', { bdfs: PAIR, domain: 2 });
    bench.now('map', { domains: [2], iova: 16, runs: [{ frame: 100, count: 4 }], prot: 3 });
    bench.ask('dma', read(BASE, 1, PAIR[1]));
    const unmap = bench.ask('unmap', { domains: [1, 2], spans: [{ iova: 16, count: 4 }] });
    expect(unmap.value).toBeUndefined();
    bench.pagesAnswer(bytes(1));
    expect(unmap.value).toBeNull();
  });

  test('unmap of several domains waits in none of them for a DMA that came after it', () => {
    const bench = attachedBench();
    bench.now('domainAlloc', { bdf: DEV, flags: 0 });
    bench.now('attach', { bdfs: PAIR, domain: 2 });
    bench.now('map', { domains: [2], iova: 40, runs: [{ frame: 400, count: 1 }], prot: 3 });
    bench.ask('dma', read(BASE, 1));
    const unmap = bench.ask('unmap', { domains: [1, 2], spans: [{ iova: 16, count: 4 }] });
    const later = bench.ask('dma', read(40n * PAGE, 1, PAIR[0]));
    bench.pagesAnswer(bytes(1));
    expect([unmap.value, later.value]).toEqual([null, undefined]);
  });

  test('unmap does not wait for other domains', () => {
    const bench = attachedBench();
    bench.now('domainAlloc', { bdf: DEV, flags: 0 });
    bench.ask('dma', read(BASE, 1));
    expect(bench.now('unmap', { domains: [2], spans: [{ iova: 16, count: 4 }] })).toBeNull();
  });

  test('detach: new DMAs meet blocking at once, the answer comes when the old ones have landed', () => {
    const bench = attachedBench();
    bench.ask('dma', read(BASE, 1));
    const detach = bench.ask('attach', { bdfs: [DEV], domain: BLOCKING });
    expect(detach.value).toBeUndefined();
    expect(bench.now('dma', read(BASE, 1)).fault?.reason).toBe('blocking');
    bench.pagesAnswer(bytes(1));
    expect(detach.value).toEqual(done);
  });

  test('replace: new DMAs use the new domain while the old one drains; there is no gap', () => {
    const bench = attachedBench();
    bench.now('domainAlloc', { bdf: DEV, flags: 0 });
    bench.now('map', { domains: [2], iova: 16, runs: [{ frame: 700, count: 1 }], prot: 3 });
    bench.ask('dma', read(BASE, 1));
    const replace = bench.ask('attach', { bdfs: [DEV], domain: 2 });
    const next = bench.ask('dma', read(BASE, 1));
    expect(bench.held.map((h) => h.pieces[0]!.frame)).toEqual([100, 700]);
    bench.pagesAnswer(bytes(1));
    expect(replace.value).toEqual(done);
    expect(next.value).toBeUndefined();
    bench.pagesAnswer(bytes(1));
    expect(bench.core.check()).toEqual([]);
  });

  test('free: the id is not given out again before the last DMA has landed', () => {
    const bench = attachedBench();
    bench.ask('dma', read(BASE, 1));
    bench.ask('attach', { bdfs: [DEV], domain: BLOCKING });
    const free = bench.ask('domainFree', { domain: 1 });
    expect(free.value).toBeUndefined();
    expect(bench.now('domainAlloc', { bdf: DEV, flags: 0 })).toMatchObject({ value: { domain: 2 } });
    bench.pagesAnswer(bytes(1));
    expect(free.value).toEqual(done);
    expect(bench.now('domainAlloc', { bdf: DEV, flags: 0 })).toMatchObject({ value: { domain: 1 } });
  });
});

describe('a window of DMAs is in flight at most', () => {
  const full = (): Bench => {
    const bench = attachedBench();
    for (let i = 0; i < MAX_DMAS; i++) {
      if (i === MAX_DMAS / 2) bench.sender = 'device:0000:00:03_0';
      bench.ask('dma', read(BASE, 1));
    }
    return bench;
  };

  test('one more waits for room, and is then done', () => {
    const bench = full();
    const more = bench.ask('dma', read(BASE + PAGE, 1));
    expect(bench.held.length).toBe(MAX_DMAS);
    bench.pagesAnswer(bytes(1));
    expect(bench.held[MAX_DMAS - 1]!.pieces[0]!.frame).toBe(101);
    while (bench.held.length > 0) bench.pagesAnswer(bytes(1));
    expect(more.value?.data).toEqual(bytes(1));
    expect(bench.machine.idle).toBe(true);
    expect(bench.core.check()).toEqual([]);
  });

  test('one that waited for room is translated only then: what was unmapped meanwhile refuses it', () => {
    const bench = full();
    const more = bench.ask('dma', read(BASE + PAGE, 1));
    const unmap = bench.ask('unmap', { domains: [1], spans: [{ iova: 17, count: 1 }] });
    bench.pagesAnswer(bytes(1));
    expect(more.value?.fault?.reason).toBe('not mapped');
    expect(unmap.value).toBeUndefined();
    while (bench.held.length > 0) bench.pagesAnswer(bytes(1));
    expect(unmap.value).toBeNull();
  });
});
