import { BLOCKING, ByteReader, ByteWriter } from '@vfiolab/core';
import type { Errno } from '@vfiolab/uapi';
import { IommuCore } from './iommu-core.js';
import { MAX_MOCKS, MOCK_GROUPS } from './mock.js';
import { Bench, benchOf } from './testing/bench.js';

const refused = (errno: Errno): unknown => ({ ok: false, errno });
const done = { ok: true, value: undefined };
const [NO_DIRTY, HUGE, PASID] = [1, 2, 4];
const [NEST_PARENT, DIRTY] = [1, 2];
const FIRST_PAGE = 0x2000;
const words = (...n: number[]): Uint8Array => new Uint8Array(Uint32Array.from(n).buffer);

/** A host without an IOMMU and one mock device, with a domain of its own that is attached. */
function mockBench(flags = 0, domainFlags = DIRTY): { bench: Bench; bdf: string; domain: number } {
  const bench = benchOf('none');
  const added = bench.now('mockAdd', { flags, amdTables: false });
  const bdf = added.ok ? added.value.bdf : '';
  const made = bench.now('domainAlloc', { bdf, flags: domainFlags, data: undefined });
  const domain = made.ok ? made.value.domain : 0;
  if (domain > 0) bench.now('attach', { bdfs: [bdf], domain });
  return { bench, bdf, domain };
}

const sameAfterRestart = (bench: Bench): boolean => {
  const bytes = (core: IommuCore, view: 'snapshot' | 'meaning'): string => {
    const w = new ByteWriter();
    core.encode(w, view);
    return w.take().join();
  };
  const w = new ByteWriter();
  bench.core.encode(w, 'snapshot');
  const again = new IommuCore();
  again.decode(new ByteReader(w.take()));
  return (
    (['snapshot', 'meaning'] as const).every((v) => bytes(again, v) === bytes(bench.core, v)) && !again.check().length
  );
};

describe('mock devices', () => {
  test('each is blocked in a group of its own, under the lowest free name', () => {
    const bench = benchOf('none');
    const add = () => bench.now('mockAdd', { flags: 0, amdTables: false });
    expect(add()).toEqual({ ok: true, value: { bdf: 'iommufd_mock0', group: MOCK_GROUPS } });
    expect(add()).toEqual({ ok: true, value: { bdf: 'iommufd_mock1', group: MOCK_GROUPS + 1 } });
    bench.now('mockRemove', { bdf: 'iommufd_mock0' });
    expect(add()).toMatchObject({ value: { bdf: 'iommufd_mock0' } });
    expect(bench.core.describe()).toContain(`group ${MOCK_GROUPS}: blocking: iommufd_mock0`);
    expect(sameAfterRestart(bench)).toBe(true);
  });

  test(`${MAX_MOCKS} at most, none with an unknown flag, none where an IOMMU is active`, () => {
    const bench = benchOf('none');
    for (let i = 0; i < MAX_MOCKS; i++) bench.now('mockAdd', { flags: 0, amdTables: false });
    expect(bench.now('mockAdd', { flags: 0, amdTables: false })).toEqual(refused('EINVAL'));
    expect(benchOf('none').now('mockAdd', { flags: 8, amdTables: false })).toEqual(refused('EINVAL'));
    expect(benchOf().now('mockAdd', { flags: 0, amdTables: false })).toEqual(refused('EINVAL'));
  });

  test.each([
    ['half pages', 0, { granule: 11, first: 0x1000000n, last: 0x7fffffffn, pageSizes: 0x800n }],
    ['large leaves', HUGE, { pageSizes: 0x100800n }],
  ])('their domains have %s', (_name, flags, info) => {
    const { bench, bdf } = mockBench(flags);
    expect(bench.now('domainAlloc', { bdf, flags: 0, data: undefined })).toMatchObject({ value: info });
  });

  test('a domain that collects dirty bits wants a device that reports them', () => {
    const { bench, bdf } = mockBench(NO_DIRTY, 0);
    expect(bench.now('domainAlloc', { bdf, flags: DIRTY, data: undefined })).toEqual(refused('EOPNOTSUPP'));
    const other = mockBench().bench;
    other.now('mockAdd', { flags: NO_DIRTY, amdTables: false });
    expect(other.now('attach', { bdfs: ['iommufd_mock1'], domain: 1 })).toEqual(refused('EINVAL'));
  });

  test('what they do to memory is nothing: a DMA of theirs is refused', () => {
    const { bench, bdf } = mockBench();
    const dma = { bdf, iova: 0x1000000n, write: false, length: 1, data: new Uint8Array() };
    expect(bench.now('dma', dma).fault?.reason).toBe('no iommu');
  });
});

describe('dirty bits', () => {
  const dirtyBench = (flags = 0) => {
    const made = mockBench(flags);
    const { bench, domain } = made;
    bench.now('map', { domains: [domain], iova: FIRST_PAGE, runs: [{ frame: 1024, count: 512 }], prot: 3 });
    const read = (clear: boolean, count = 16) => [
      ...bench.now('dirtyRead', { domain, iova: FIRST_PAGE, count, clear }),
    ];
    const mark = (...bits: number[]) =>
      bench.now('dirtyMark', { domain, first: FIRST_PAGE, bitmap: Uint8Array.from(bits) });
    return { ...made, read, mark };
  };

  test('are collected while tracking is on, and read with or without clearing', () => {
    const { bench, domain, read, mark } = dirtyBench();
    expect(mark(1)).toEqual(refused('EINVAL'));
    expect(bench.now('dirtyTracking', { domain, enable: true })).toEqual(done);
    expect(mark(5, 128)).toEqual({ ok: true, value: 3 });
    expect(sameAfterRestart(bench)).toBe(true);
    expect([read(false), read(true), read(false)]).toEqual([
      [5, 128],
      [5, 128],
      [0, 0],
    ]);
    mark(1);
    bench.now('dirtyTracking', { domain, enable: true });
    expect(read(false)).toEqual([0, 0]);
  });

  test('a large leaf is dirty as a whole', () => {
    const { bench, domain, read, mark } = dirtyBench(HUGE);
    bench.now('dirtyTracking', { domain, enable: true });
    mark(2);
    expect(read(true)).toEqual([255, 255]);
    expect(read(true)).toEqual([0, 0]);
  });

  test('the meaning changes with them', () => {
    const { bench, domain, mark } = dirtyBench();
    bench.now('dirtyTracking', { domain, enable: true });
    const before = bench.machine.stateBytes('meaning');
    mark(1);
    expect(bench.machine.stateBytes('meaning')).not.toEqual(before);
  });

  test('a domain that was made without has none', () => {
    const { bench, bdf } = mockBench(0, 0);
    expect(bdf).toBe('iommufd_mock0');
    expect(bench.now('dirtyTracking', { domain: 1, enable: true })).toEqual(refused('EOPNOTSUPP'));
  });
});

test('lookup answers frames up to the first hole', () => {
  const { bench, domain } = mockBench();
  const runs = [
    { frame: 7, count: 2 },
    { frame: 3, count: 1 },
  ];
  bench.now('map', { domains: [domain], iova: FIRST_PAGE, runs, prot: 1 });
  expect(bench.now('lookup', { domain, iova: FIRST_PAGE, count: 9 })).toEqual(runs);
  expect(bench.now('lookup', { domain, iova: 0, count: 9 })).toEqual([]);
});

describe('nested domains', () => {
  const data = { type: 0xdead, length: 4, bytes: words(0xabc) };
  const onHwpt = { usable: true, viommu: false, flags: 0 };
  const nestedBench = () => {
    const made = mockBench(0, NEST_PARENT);
    const nest = (fields = {}) =>
      made.bench.now('nestedAlloc', { bdf: made.bdf, parent: made.domain, ...onHwpt, data, known: 4, ...fields });
    return { ...made, nest };
  };

  test.each([
    ['data of another driver', { data: { ...data, type: 1 } }, 'EOPNOTSUPP'],
    ['a parent that is not there', { parent: 9 }, 'EINVAL'],
    ['data that is longer than the kernel knows', { data: { ...data, length: 8 } }, 'EINVAL'],
    ['data that cannot be read', { data: { ...data, bytes: undefined } }, 'EFAULT'],
  ] as const)('%s', (_why, fields, errno) => {
    const { bench, nest } = nestedBench();
    expect(nest(fields)).toEqual(refused(errno));
    expect(bench.core.figures()['domains']).toBe(1);
  });

  test('hold their parent and keep an IOTLB of four slots', () => {
    const { bench, bdf, domain, nest } = nestedBench();
    expect(nest()).toEqual({ ok: true, value: { domain: 2, needsId: false } });
    bench.now('attach', { bdfs: [bdf], domain: 2 });
    expect(bench.now('domainFree', { domain })).toEqual(refused('EBUSY'));
    const array = { domain: 2, type: 0xdeadbeef, entryLength: 8, count: 2, entries: words(0, 1, 0, 9) };
    expect(bench.now('invalidate', array)).toEqual({ done: 1, outcome: refused('EINVAL') });
    expect(bench.now('mockIotlb', { domain: 2 })).toEqual([0xabc, 0, 0xabc, 0xabc]);
    expect(sameAfterRestart(bench)).toBe(true);
    expect(bench.now('map', { domains: [2], iova: FIRST_PAGE, runs: [{ frame: 1, count: 1 }], prot: 3 })).toEqual(
      refused('EINVAL'),
    );
  });
});

describe('PASIDs', () => {
  test('count as users of their domain, and go back to blocking', () => {
    const { bench, bdf, domain } = mockBench(PASID, 0);
    bench.now('attach', { bdfs: [bdf], domain: BLOCKING });
    expect(bench.now('pasidAttach', { bdf, pasid: 5, domain })).toEqual(done);
    expect(bench.now('domainFree', { domain })).toEqual(refused('EBUSY'));
    expect(bench.now('pasidDomain', { bdf, pasid: 5 })).toBe(domain);
    expect(sameAfterRestart(bench)).toBe(true);
    expect(bench.core.check()).toEqual([]);
    expect(bench.now('pasidAttach', { bdf, pasid: 5, domain: BLOCKING })).toEqual(done);
    expect(bench.now('pasidDomain', { bdf, pasid: 5 })).toBe(BLOCKING);
    expect(bench.now('domainFree', { domain })).toEqual(done);
  });

  test.each([
    ['a device without', 0, 5],
    ['one beyond 20 bits', PASID, 1 << 20],
  ])('EINVAL: %s', (_why, flags, pasid) => {
    const { bench, bdf, domain } = mockBench(flags, 0);
    expect(bench.now('pasidAttach', { bdf, pasid, domain })).toEqual(refused('EINVAL'));
  });
});
