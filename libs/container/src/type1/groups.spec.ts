import { BLOCKING, CONTAINER, containerApi, type DomainInfo, iommuApi, LAB, pagesApi, sysApi } from '@vfiolab/core';
import { Bench as CoreBench, type Script } from '../../../core/src/testing/bench.js';
import { encode, fail, ok, VFIO_IOMMU_MAP_DMA, VFIO_IOMMU_UNMAP_DMA, VFIO_SET_IOMMU } from '@vfiolab/uapi';
import { ContainerCore } from '../container-core.js';
import { ALONE, Bench, must, PAIR, TYPE1_V2 } from '../testing/bench.js';

const PAGE = 4096n;
const IOVA = 0x100000n;
const [BDF] = PAIR.members;
const [OTHER] = ALONE.members;

describe('with a real IOMMU', () => {
  it('map then join, join then map: every group sees the same (features 52, 53)', async () => {
    const b = await Bench.boot();
    const { fd, container } = await b.ready();
    const va = await b.memory(0x10000);
    await b.map(fd, { vaddr: va, iova: IOVA, size: 4n * PAGE });
    must(await b.join(fd, ALONE));
    await b.map(fd, { vaddr: va, iova: 2n * IOVA, size: PAGE });
    for (const bdf of [BDF!, OTHER!])
      for (const iova of [IOVA, 2n * IOVA]) expect(await b.dmaWrite(bdf, iova)).toBe(true);
    expect(await b.lockedKb()).toBe(20);
    await b.leave(container, PAIR);
    expect([await b.dmaWrite(BDF!, IOVA), await b.dmaWrite(OTHER!, IOVA)]).toEqual([false, true]);
    expect(await b.lockedKb()).toBe(20);
    expect(b.reread()).toBe(true);
    await b.leave(container, ALONE);
    expect(await b.dmaWrite(OTHER!, IOVA)).toBe(false);
    expect(await b.status()).toEqual({ vmLockedKb: 0, vmPinnedKb: 0 });
    expect(b.host.broken()).toEqual([]);
    await b.close(fd);
    expect(b.left()).toEqual({});
  });

  it('none while an address is invalid: attaching may need it (b074, feature 88)', async () => {
    const b = await Bench.boot();
    const { fd } = await b.ready();
    const va = await b.memory(4096);
    await b.map(fd, { vaddr: va, iova: IOVA, size: PAGE });
    await b.unmap(fd, { flags: 6 });
    expect(await b.join(fd, ALONE)).toEqual({ ok: false, errno: 'EBUSY' });
    await b.map(fd, { flags: 4, vaddr: va, iova: IOVA, size: PAGE });
    must(await b.join(fd, ALONE));
    expect(b.host.broken()).toEqual([]);
  });

  it('a mapping whose address is invalid may go; then groups may join again', async () => {
    const b = await Bench.boot();
    const { fd } = await b.ready();
    await b.map(fd, { vaddr: await b.memory(4096), iova: IOVA, size: PAGE });
    await b.unmap(fd, { flags: 6 });
    await b.unmap(fd, { iova: IOVA, size: PAGE });
    must(await b.join(fd, ALONE));
    expect(b.host.broken()).toEqual([]);
  });

  it('a group that the IOMMU does not know is refused, and the container stays as it is', async () => {
    const b = await Bench.boot();
    const { fd } = await b.ready();
    expect(await b.join(fd, { ...ALONE, members: ['0000:ff:00.0'] })).toEqual({ ok: false, errno: 'EINVAL' });
    expect(b.host.broken()).toEqual([]);
    expect(b.left()).toEqual({ containers: 1, files: 1, groups: 1, held: 1 });
  });
});

/** An IOMMU that keeps devices apart: a device can only be attached to a domain that was made for it. */
describe('with groups that cannot share a domain', () => {
  const APERTURE: Omit<DomainInfo, 'domain'> = {
    granule: 12,
    first: 0n,
    last: (1n << 48n) - 1n,
    pageSizes: 0x40201000n,
  };

  function setup(change: Record<string, Script> = {}, second: Partial<DomainInfo> = {}) {
    let domains = 0;
    const madeFor = new Map<number, string>();
    const bench = new CoreBench(CONTAINER, new ContainerCore(), {
      iommu: {
        api: iommuApi,
        answers: {
          domainAlloc: ({ bdf }: { bdf: string }) => {
            madeFor.set(++domains, bdf);
            return ok({ ...APERTURE, domain: domains, ...(domains > 1 ? second : {}) });
          },
          domainFree: () => ok(undefined),
          attach: ({ bdfs, domain }: { bdfs: string[]; domain: number }) =>
            domain === BLOCKING || madeFor.get(domain) === bdfs[0] ? ok(undefined) : fail('EINVAL'),
          reservedRegions: () => [],
          map: () => ok(undefined),
          unmap: () => undefined,
          lookup: ({ count }: { count: number }) => [{ frame: 700, count: Math.min(count, 3) }],
          ...change,
        },
      },
      pages: {
        api: pagesApi,
        answers: {
          storeCreate: () => ok({ store: 9, pinned: { runs: [{ frame: 700, count: 5 }], next: 5 } }),
          unpinMany: () => undefined,
        },
      },
    });
    bench.get(LAB, containerApi.setup, { profile: '6.12', iommu: 'intel-vtd', allowUnsafeInterrupts: false });
    const opened = must(bench.get('client:a', sysApi.open, { path: '/dev/vfio/vfio', flags: 2 }));
    const plain = (cmd: number, arg: number) =>
      bench.get('client:a', sysApi.ioctl, { token: opened.token, cmd, arg, segments: [], fds: [] });
    const struct = (cmd: number, bytes: Uint8Array) => {
      const segments = [{ va: 4096, writable: true, bytes }];
      return bench.get('client:a', sysApi.ioctl, { token: opened.token, cmd, arg: 4096, segments, fds: [] });
    };
    let container = 0;
    const join = (g: typeof PAIR) => {
      const wanted = { token: opened.token, client: 'client:a', noiommu: false };
      ({ container } = must(bench.get('groups', containerApi.hold, wanted)));
      const joined = bench.get('groups', containerApi.join, { container, ...g });
      if (!joined.ok) bench.get('groups', containerApi.drop, { container });
      return joined;
    };
    must(join(PAIR));
    plain(VFIO_SET_IOMMU.nr, TYPE1_V2);
    const map = encode(VFIO_IOMMU_MAP_DMA.struct, {
      argsz: 32,
      flags: 1,
      vaddr: 0x10000n,
      iova: IOVA,
      size: 5n * PAGE,
    });
    struct(VFIO_IOMMU_MAP_DMA.nr, map);
    bench.heard.length = 0;
    const asked = () => bench.heard.map(({ method, args }) => [method.split('.')[1], args] as const);
    return { bench, container, struct, join, asked };
  }

  it('the new group gets a domain of its own, with the frames that the others have; nothing is pinned again', () => {
    const { bench, join, asked } = setup();
    expect(join(ALONE)).toEqual(ok(undefined));
    expect(asked().filter(([name]) => name === 'map')).toEqual([
      ['map', { domains: [2], iova: 256, runs: [{ frame: 700, count: 3 }], prot: 1, small: false }],
      ['map', { domains: [2], iova: 259, runs: [{ frame: 700, count: 2 }], prot: 1, small: false }],
    ]);
    expect(asked().some(([name]) => name === 'storeCreate' || name === 'pin')).toBe(false);
    expect(bench.core.check()).toEqual([]);
  });

  it('every domain is cleared before anything is unpinned; a domain goes with its last group', () => {
    const { bench, container, struct, join, asked } = setup();
    join(ALONE);
    bench.heard.length = 0;
    struct(VFIO_IOMMU_UNMAP_DMA.nr, encode(VFIO_IOMMU_UNMAP_DMA.struct, { argsz: 24, flags: 2, iova: 0n, size: 0n }));
    expect(asked()).toEqual([
      ['unmap', { domains: [2, 1], spans: [{ iova: 256, count: 5 }] }],
      ['unpinMany', { stores: [{ store: 9, ranges: [{ first: 0, count: 5 }], release: true }] }],
    ]);
    bench.heard.length = 0;
    bench.get('groups', containerApi.leave, { container, group: PAIR.group });
    expect(asked()).toEqual([
      ['attach', { bdfs: PAIR.members, domain: BLOCKING }],
      ['domainFree', { domain: 1 }],
    ]);
    expect(bench.core.check()).toEqual([]);
  });

  it('mappings of the last domain go with it, after its devices are blocked (E9)', () => {
    const { bench, container, asked } = setup();
    bench.get('groups', containerApi.leave, { container, group: PAIR.group });
    expect(asked().map(([name]) => name)).toEqual(['attach', 'unmap', 'unpinMany', 'domainFree']);
    expect(bench.core.figures()).toEqual({ containers: 1, files: 1, groups: 0, held: 0, registrations: 0 });
  });

  it('a new domain that cannot be filled is taken back whole', () => {
    let maps = 0;
    const { bench, join, asked } = setup({ map: () => (++maps === 3 ? fail('ENOMEM') : ok(undefined)) });
    expect(join(ALONE)).toEqual(fail('ENOMEM'));
    expect(asked().slice(-3)).toEqual([
      ['unmap', { domains: [2], spans: [{ iova: 256, count: 5 }] }],
      ['attach', { bdfs: ALONE.members, domain: BLOCKING }],
      ['domainFree', { domain: 2 }],
    ]);
    expect(bench.core.check()).toEqual([]);
    expect(bench.core.figures()).toEqual({ containers: 1, files: 1, groups: 1, held: 2, registrations: 0 });
  });

  it.each([
    ['an aperture without it', { last: IOVA + PAGE }],
    ['an aperture that begins behind it', { first: IOVA + PAGE }],
    ['an aperture apart from the others', { first: 1n << 48n, last: (1n << 57n) - 1n }],
  ])('a group whose domain has %s is EINVAL', (_what, second) => {
    const { bench, join, asked } = setup({}, second);
    expect(join(ALONE)).toEqual(fail('EINVAL'));
    expect(asked().map(([name]) => name)).toEqual(['domainAlloc', 'attach', 'reservedRegions', 'attach', 'domainFree']);
    expect(bench.core.check()).toEqual([]);
  });

  it.each([
    ['reserved', fail('EINVAL')],
    ['sw-msi', fail('EINVAL')],
    ['direct-relaxable', ok(undefined)],
  ] as const)('a %s region under a mapping', (type, answer) => {
    const region = { start: IOVA, last: IOVA + PAGE - 1n, type };
    const { bench, join } = setup();
    bench.script('iommu', { reservedRegions: () => [region] });
    expect(join(ALONE)).toEqual(answer);
    expect(bench.core.check()).toEqual([]);
  });

  it('a mapping that one domain has no tables for leaves nothing', () => {
    const { bench, struct, asked } = setup();
    bench.script('iommu', { map: () => fail('ENOMEM') });
    bench.script('pages', { unpin: () => undefined });
    const bytes = encode(VFIO_IOMMU_MAP_DMA.struct, {
      argsz: 32,
      flags: 1,
      vaddr: 0x10000n,
      iova: 0n,
      size: 5n * PAGE,
    });
    expect(struct(VFIO_IOMMU_MAP_DMA.nr, bytes).errno).toBe(12);
    expect(asked().at(-1)).toEqual(['unpin', { store: 9, ranges: [{ first: 0, count: 5 }], release: true }]);
    expect(bench.core.figures().held).toBe(2);
  });

  it('memory in many pieces: what was done is undone when a later piece fails', () => {
    const { bench, struct, asked } = setup();
    bench.script('pages', {
      storeCreate: () => ok({ store: 10, pinned: { runs: [{ frame: 800, count: 2 }], next: 2 } }),
      pin: () => fail('EFAULT'),
      unpin: () => undefined,
    });
    const bytes = encode(VFIO_IOMMU_MAP_DMA.struct, {
      argsz: 32,
      flags: 3,
      vaddr: 0x10000n,
      iova: 0n,
      size: 5n * PAGE,
    });
    expect(struct(VFIO_IOMMU_MAP_DMA.nr, bytes).errno).toBe(14);
    expect(asked().slice(-3)).toEqual([
      ['pin', { store: 10, first: 2, count: 3 }],
      ['unmap', { domains: [1], spans: [{ iova: 0, count: 2 }] }],
      ['unpin', { store: 10, ranges: [{ first: 0, count: 2 }], release: true }],
    ]);
  });
});
