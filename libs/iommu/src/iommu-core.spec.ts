import { BLOCKING, ByteReader, ByteWriter, KERNEL, type Run } from '@vfiolab/core';
import type { Errno } from '@vfiolab/uapi';
import { NO_ENDPOINT } from './function.js';
import { kindOf } from './kinds.js';
import { driverFlagsOf } from './profile-flags.js';
import { IommuCore } from './iommu-core.js';
import { FRAME_LIMIT } from './page-table.js';
import { attachedBench, Bench, benchOf, DEV, PAIR } from './testing/bench.js';

const refused = (errno: Errno): unknown => ({ ok: false, errno });
const done = { ok: true, value: undefined };

describe('kinds: geometry and reserved regions are the recorded ones', () => {
  const X86_MSI = ['0xfee00000', '0xfeefffff', 'msi'];
  test.each([
    ['intel-vtd', '0xffffffffffff', '0x40201000', [X86_MSI]],
    ['intel-vtd-39', '0x7fffffffff', '0x40201000', [X86_MSI]],
    ['amd-vi', '0xffffffffffffffff', '0xfff7ffffff000', [X86_MSI, ['0xfd00000000', '0xffffffffff', 'reserved']]],
    ['arm-smmu-v3', '0xffffffffffff', '0x40201000', [['0x8000000', '0x80fffff', 'sw-msi']]],
    ['virtio-iommu', '0xffffffffffffffff', '0xfffffffffffff000', [X86_MSI]],
  ])('%s', (kind, last, pageSizes, regions) => {
    const bench = benchOf(kind);
    expect(bench.now('domainAlloc', { bdf: DEV, flags: 0 })).toEqual({
      ok: true,
      value: {
        domain: 1,
        granule: 12,
        first: 0n,
        last: BigInt(last),
        pageSizes: BigInt(pageSizes),
        coherent: kind === 'amd-vi',
        unit: 0,
      },
    });
    const text = (n: bigint): string => `0x${n.toString(16)}`;
    const found = bench.now('reservedRegions', { bdf: DEV });
    expect(found.map((r) => [text(r.start), text(r.last), r.type])).toEqual(regions);
  });

  test('no region of a kind crosses its aperture', () => {
    for (const kind of ['intel-vtd', 'intel-vtd-39', 'amd-vi', 'arm-smmu-v3', 'virtio-iommu']) {
      const { reserved, tables } = kindOf(kind, driverFlagsOf('6.12'))!;
      for (const r of reserved) expect(r.start < r.last && r.last <= tables[0]!.format.last).toBe(true);
    }
  });

  test.each(['none', 'a-kind-nobody-knows'])('%s translates for nobody', (kind) => {
    const bench = benchOf(kind);
    expect(bench.now('domainAlloc', { bdf: DEV, flags: 0 })).toEqual(refused('ENODEV'));
    expect(bench.now('reservedRegions', { bdf: DEV })).toEqual([]);
  });
});

/** In GET_HW_INFO: the function has no ATS. */
const ATS_MISSING = 8n;

describe('setup', () => {
  test('a second setup of the same kind adds functions, which join their group where it is', () => {
    const bench = attachedBench();
    bench.now('setup', { kind: 'intel-vtd', functions: [{ bdf: '0000:00:03.1', group: 1 }] });
    expect(bench.core.describe()).toContain('group 1: domain 1: 0000:00:03.0 0000:00:03.1');
    expect(bench.core.check()).toEqual([]);
  });
  test('a function that is gone leaves no trace, and its group goes with the last', () => {
    const bench = attachedBench();
    const before = bench.core.describe();
    const configured = { profile: '7.2', units: [], endpoints: [{ ...NO_ENDPOINT, bdf: '0000:00:09.0', ats: true }] };
    bench.now('configure', configured);
    const functions = [
      { bdf: '0000:00:09.0', group: 9 },
      { bdf: '0000:00:03.1', group: 1 },
    ];
    bench.now('setup', { kind: 'intel-vtd', functions });
    expect(bench.core.describe()).not.toEqual(before);
    for (const bdf of ['0000:00:09.0', '0000:00:03.1', '0000:00:1e.0']) bench.now('remove', { bdf });
    expect(bench.core.describe()).toEqual(before);
    expect(bench.core.check()).toEqual([]);
    expect(bench.now('attach', { bdfs: [DEV], domain: BLOCKING })).toEqual(done);
    expect(bench.now('attach', { bdfs: ['0000:00:09.0'], domain: BLOCKING })).toEqual(refused('EINVAL'));
    bench.now('setup', { kind: 'intel-vtd', functions: functions.slice(0, 1) });
    expect(bench.now('hardwareInfo', { bdf: '0000:00:09.0' })).toMatchObject({ capabilities: ATS_MISSING });
  });

  test('a setup of another kind changes nothing', () => {
    const bench = benchOf();
    bench.now('setup', { kind: 'amd-vi', functions: [{ bdf: '0000:00:09.0', group: 9 }] });
    expect(bench.core.describe()[0]).toBe('iommu intel-vtd: 3 functions in 2 groups');
  });
  test.each([
    ['a function in the kernel domain moves to the group named last', KERNEL, 'group 7: kernel: 0000:00:03.0'],
    ['a function of an owned group stays', BLOCKING, 'group 1: blocking: 0000:00:03.0'],
  ])('%s', (_rule, attached, line) => {
    const bench = benchOf();
    bench.now('attach', { bdfs: [DEV], domain: attached });
    bench.now('setup', { kind: 'intel-vtd', functions: [{ bdf: DEV, group: 7 }] });
    expect(bench.core.describe()).toContain(line);
    expect(bench.core.check()).toEqual([]);
  });
});

describe('domains', () => {
  test.each([
    ['no such device', '0000:00:1f.0', 0, 'EINVAL'],
    ['nest parent (b091, c007)', DEV, 1, 'EOPNOTSUPP'],
    ['dirty tracking (b091, c007)', DEV, 2, 'EOPNOTSUPP'],
    ['a flag nobody defined (c007)', DEV, 16, 'EOPNOTSUPP'],
  ] as const)('alloc is refused: %s', (_rule, bdf, flags, errno) => {
    expect(benchOf().now('domainAlloc', { bdf, flags })).toEqual(refused(errno));
  });

  test('ids are the lowest free ones from 1 on, and ENOSPC when the pool is empty', () => {
    const bench = benchOf('intel-vtd', { domainIds: 4 });
    const alloc = (): unknown => {
      const r = bench.now('domainAlloc', { bdf: DEV, flags: 0 });
      return r.ok ? r.value.domain : r.errno;
    };
    expect([alloc(), alloc(), alloc(), alloc()]).toEqual([1, 2, 3, 'ENOSPC']);
    expect(bench.now('domainFree', { domain: 2 })).toEqual(done);
    expect([alloc(), alloc()]).toEqual([2, 'ENOSPC']);
  });

  test('free: EINVAL for no such domain, EBUSY while attached, and no PTE stays', () => {
    const bench = attachedBench();
    expect(bench.now('domainFree', { domain: 2 })).toEqual(refused('EINVAL'));
    expect(bench.now('domainFree', { domain: 1 })).toEqual(refused('EBUSY'));
    bench.now('attach', { bdfs: [DEV], domain: BLOCKING });
    expect(bench.now('domainFree', { domain: 1 })).toEqual(done);
    bench.now('domainAlloc', { bdf: DEV, flags: 0 });
    expect(bench.core.describe()).toContain('domain 1: 0 bytes mapped, 0 tables, 0 groups attached');
  });
});

describe('attach', () => {
  test.each([
    ['no devices', [], 1, 'EINVAL'],
    ['an unknown device', ['0000:00:1f.0'], 1, 'EINVAL'],
    ['one device of a group named twice', [PAIR[0]!, PAIR[0]!], 1, 'EINVAL'],
    ['devices of two groups', [DEV, ...PAIR], 1, 'EINVAL'],
    ['a domain that does not exist', [DEV], 2, 'EINVAL'],
    ['a number that means nothing', [DEV], -2, 'EINVAL'],
  ] as const)('is refused: %s', (_rule, bdfs, domain, errno) => {
    const bench = benchOf();
    bench.now('domainAlloc', { bdf: DEV, flags: 0 });
    const before = bench.core.describe();
    expect(bench.now('attach', { bdfs: [...bdfs], domain })).toEqual(refused(errno));
    expect(bench.core.describe()).toEqual(before);
  });

  test.each([
    ['in whatever order it is named', [...PAIR].reverse()],
    ['with those that came later (SR-IOV)', [PAIR[0]!]],
    ['without those that are gone', [...PAIR, '0000:00:1f.0']],
  ])('the whole group moves, %s', (_rule, bdfs) => {
    const bench = benchOf();
    bench.now('domainAlloc', { bdf: DEV, flags: 0 });
    expect(bench.now('attach', { bdfs, domain: 1 })).toEqual(done);
    expect(bench.core.describe()).toContain(`group 2: domain 1: ${PAIR.join(' ')}`);
  });

  test('attaching twice to the same domain counts once', () => {
    const bench = attachedBench();
    expect(bench.now('attach', { bdfs: [DEV], domain: 1 })).toEqual(done);
    bench.now('attach', { bdfs: [DEV], domain: BLOCKING });
    expect(bench.now('domainFree', { domain: 1 })).toEqual(done);
  });
});

describe('map', () => {
  const LAST = 2 ** 36 - 1;
  const page: Run[] = [{ frame: 5, count: 1 }];
  test.each([
    ['no such domain', [3], 0, page, 3, 'EINVAL'],
    ['a domain named twice', [1, 1], 0, page, 3, 'EINVAL'],
    ['no permission at all', [1], 0, page, 0, 'EINVAL'],
    ['a permission that does not exist', [1], 0, page, 4, 'EINVAL'],
    ['an empty run', [1], 0, [{ frame: 5, count: 0 }], 3, 'EINVAL'],
    ['a frame beyond the last', [1], 0, [{ frame: FRAME_LIMIT, count: 1 }], 3, 'EINVAL'],
    ['an IOVA beyond the aperture', [1], LAST + 1, page, 3, 'EINVAL'],
    ['a run that leaves the aperture', [1], LAST, [{ frame: 0, count: 2 }], 3, 'EINVAL'],
    ['more runs than a message may have', [1], 0, Array.from({ length: 16385 }, () => page[0]!), 3, 'EINVAL'],
    ['a granule mapped in the first domain', [1, 2], 15, [{ frame: 0, count: 2 }], 3, 'EEXIST'],
    ['a granule mapped in the second domain', [2, 1], 15, [{ frame: 0, count: 2 }], 3, 'EEXIST'],
  ] as [string, number[], number, Run[], number, Errno][])(
    'is refused: %s',
    (_rule, domains, iova, runs, prot, errno) => {
      const bench = attachedBench();
      bench.now('domainAlloc', { bdf: DEV, flags: 0 });
      const before = bench.machine.stateBytes('snapshot');
      expect(bench.now('map', { domains, iova, runs, prot })).toEqual(refused(errno));
      expect(bench.machine.stateBytes('snapshot')).toEqual(before);
    },
  );

  test('at the bounds: the last granule, the last frame, 16384 runs', () => {
    const bench = benchOf();
    bench.now('domainAlloc', { bdf: DEV, flags: 0 });
    const last = [{ frame: FRAME_LIMIT - 1, count: 1 }];
    expect(bench.now('map', { domains: [1], iova: LAST, runs: last, prot: 1 })).toEqual(done);
    const runs = Array.from({ length: 16384 }, (_, i) => ({ frame: 2 * i, count: 1 }));
    expect(bench.now('map', { domains: [1], iova: 0, runs, prot: 3 })).toEqual(done);
    expect(bench.core.check()).toEqual([]);
  });

  test('ENOMEM when one domain has no more tables: nothing stays in any', () => {
    const bench = benchOf('intel-vtd', { tables: 3 });
    bench.now('domainAlloc', { bdf: DEV, flags: 0 });
    bench.now('domainAlloc', { bdf: DEV, flags: 0 });
    bench.now('map', { domains: [2], iova: 2 ** 18, runs: [{ frame: 1, count: 1 }], prot: 3 });
    const before = bench.machine.stateBytes('snapshot');
    const runs = [
      { frame: 9, count: 1 },
      { frame: 3, count: 1 },
    ];
    expect(bench.now('map', { domains: [1, 2], iova: 0, runs, prot: 3 })).toEqual(refused('ENOMEM'));
    expect(bench.machine.stateBytes('snapshot')).toEqual(before);
    expect(bench.core.check()).toEqual([]);
  });

  test('unmap clears several spans in several domains and ignores domains that are gone', () => {
    const bench = attachedBench();
    bench.now('domainAlloc', { bdf: DEV, flags: 0 });
    bench.now('map', { domains: [2], iova: 16, runs: [{ frame: 100, count: 4 }], prot: 3 });
    const spans = [
      { iova: 16, count: 1 },
      { iova: 18, count: 2 ** 40 },
    ];
    bench.now('unmap', { domains: [1, 9, 2], spans });
    expect(bench.core.describe().filter((line) => line.includes('4096 bytes mapped')).length).toBe(2);
  });
});

describe('snapshot and meaning', () => {
  const busy = (): Bench => {
    const bench = attachedBench();
    bench.now('domainAlloc', { bdf: DEV, flags: 0 });
    bench.now('map', { domains: [2], iova: 512, runs: [{ frame: 1024, count: 512 }], prot: 1 });
    bench.now('attach', { bdfs: PAIR, domain: BLOCKING });
    bench.now('dma', { bdf: PAIR[1]!, iova: 5n, write: false, length: 1, data: new Uint8Array() });
    return bench;
  };
  const restored = (bytes: Uint8Array): IommuCore => {
    const core = new IommuCore();
    core.decode(new ByteReader(bytes));
    return core;
  };
  const bytesOf = (core: IommuCore, view: 'snapshot' | 'meaning'): Uint8Array => {
    const w = new ByteWriter();
    core.encode(w, view);
    return w.take();
  };

  test.each(['snapshot', 'meaning'] as const)('a restored core has the same bytes: %s', (view) => {
    const { core } = busy();
    const again = restored(bytesOf(core, 'snapshot'));
    expect(bytesOf(again, view)).toEqual(bytesOf(core, view));
    expect(again.check()).toEqual([]);
    expect(again.describe()).toEqual(core.describe());
  });

  test('the meaning does not depend on domain ids, frames, leaf sizes or who came first', () => {
    const build = (swap: boolean): Uint8Array => {
      const bench = benchOf();
      bench.now('domainAlloc', { bdf: DEV, flags: 0 });
      bench.now('domainAlloc', { bdf: DEV, flags: 0 });
      bench.now('domainAlloc', { bdf: DEV, flags: 0 });
      const [one, two, idle] = swap ? [3, 1, 2] : [1, 2, 3];
      bench.now('attach', { bdfs: [DEV], domain: one! });
      bench.now('attach', { bdfs: PAIR, domain: two! });
      bench.now('map', { domains: [one!], iova: 0, runs: [{ frame: swap ? 1 : 0, count: 512 }], prot: 3 });
      bench.now('map', { domains: [two!, idle!], iova: 3, runs: [{ frame: swap ? 9 : 7, count: 2 }], prot: 1 });
      return bench.machine.stateBytes('meaning');
    };
    expect(build(true)).toEqual(build(false));
  });

  test.each([
    ['a map', (b: Bench) => b.now('map', { domains: [1], iova: 0, runs: [{ frame: 1, count: 1 }], prot: 3 })],
    ['an unmap', (b: Bench) => b.now('unmap', { domains: [1], spans: [{ iova: 16, count: 1 }] })],
    ['an attachment', (b: Bench) => b.now('attach', { bdfs: PAIR, domain: 1 })],
    ['a fault', (b: Bench) => b.now('dma', { bdf: DEV, iova: 0n, write: false, length: 1, data: new Uint8Array() })],
    ['a domain', (b: Bench) => b.now('domainAlloc', { bdf: DEV, flags: 0 })],
  ])('the meaning changes with %s', (_rule, change) => {
    const bench = attachedBench();
    const before = bench.machine.stateBytes('meaning');
    change(bench);
    expect(bench.machine.stateBytes('meaning')).not.toEqual(before);
  });
});
