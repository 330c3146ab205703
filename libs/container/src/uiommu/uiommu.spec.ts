import { CONTAINER, containerApi, sysApi } from '@vfiolab/core';
import { UIOMMU_MAP, UIOMMU_UNMAP, VFIO_CHECK_EXTENSION, VFIO_IOMMU_MAP_DMA } from '@vfiolab/uapi';
import { ALONE, Bench, must, PAIR, RW, type TestGroup } from '../testing/bench.js';

const PAGE = 0x1000n;
const IOVA = 0x100000n;
const FLAG_ALL = 2;

interface Domain {
  readonly fd: number;
  readonly container: number;
}

async function boot(): Promise<Bench> {
  return Bench.boot({ teaching: 'uiommu2010' });
}

/** An open /dev/uiommu, and its number. */
async function domain(b: Bench): Promise<Domain> {
  const opened = await b.run(b.p.link.call(CONTAINER, sysApi.open, { path: '/dev/uiommu', flags: 2 }));
  const fd = b.p.fds.install({ ...must(opened), owner: CONTAINER, users: 1 });
  return { fd, container: await hold(b, fd) };
}

async function hold(b: Bench, fd: number): Promise<number> {
  const { token } = b.p.fileOf(fd);
  const wanted = { token, client: b.p.address, noiommu: false, uiommu: true };
  return must(await b.ask(CONTAINER, containerApi.hold, wanted)).container;
}

const join = (b: Bench, { container }: Domain, group: TestGroup) =>
  b.ask(CONTAINER, containerApi.join, { container, ...group, emulated: false });
const leave = (b: Bench, { container }: Domain, { group }: TestGroup) =>
  b.ask(CONTAINER, containerApi.leave, { container, group });
const map = async (
  b: Bench,
  { fd }: Domain,
  fields: Partial<{ vaddr: bigint; iova: bigint; size: bigint; flags: number }>,
) => (await b.ioctl(fd, UIOMMU_MAP, { flags: RW, iova: IOVA, size: PAGE, ...fields })).errno;
async function unmap(b: Bench, { fd }: Domain, fields: Partial<{ iova: bigint; size: bigint; flags: number }>) {
  const { errno, out } = await b.ioctl(fd, UIOMMU_UNMAP, { iova: IOVA, size: PAGE, ...fields });
  return errno ?? out.size;
}

describe('MAP and UNMAP of a domain', () => {
  it('refuse what type 1 refuses, and know no other flags', async () => {
    const b = await boot();
    const d = await domain(b);
    must(await join(b, d, ALONE));
    const vaddr = await b.memory(0x4000);
    const wrong: Parameters<typeof map>[2][] = [
      { flags: 0 },
      { flags: RW | 4 },
      { size: 0n },
      { size: 0x800n },
      { iova: IOVA + 1n },
      { vaddr: vaddr + 0x10n },
      { iova: 0xffff_ffff_ffff_f000n, size: 2n * PAGE },
      { iova: 0xfee00000n },
      { iova: 1n << 60n },
    ];
    for (const fields of wrong) expect([fields, await map(b, d, { vaddr, ...fields })]).toEqual([fields, 'EINVAL']);
    expect(await map(b, d, { vaddr: 0x1000n })).toBe('EFAULT');
    expect(await map(b, d, { vaddr, size: 2n * PAGE })).toBeUndefined();
    expect(await map(b, d, { vaddr, iova: IOVA + PAGE })).toBe('EEXIST');
    for (const fields of [{ size: 0n }, { flags: FLAG_ALL }, { iova: IOVA + 1n }, {}, { iova: IOVA + PAGE }])
      expect([fields, await unmap(b, d, fields)]).toEqual([fields, 'EINVAL']);
    expect(await unmap(b, d, { iova: 0n, size: PAGE })).toBe(0n);
    expect(await unmap(b, d, { iova: 0n, size: 0x200000n })).toBe(2n * PAGE);
    expect(b.host.broken()).toEqual([]);
  });

  it('ENOSPC: as many mappings as a container of type 1 may have', async () => {
    const b = await boot();
    must(await b.parameter('dma_entry_limit', 2));
    const d = await domain(b);
    const vaddr = await b.memory(Number(PAGE));
    for (const n of [1n, 2n]) expect(await map(b, d, { vaddr, iova: n * IOVA })).toBeUndefined();
    expect(await map(b, d, { vaddr, iova: 3n * IOVA })).toBe('ENOSPC');
    expect(await unmap(b, d, {})).toBe(PAGE);
    expect(await map(b, d, { vaddr, iova: 3n * IOVA })).toBeUndefined();
  });

  it('are its only calls', async () => {
    const b = await boot();
    const { fd } = await domain(b);
    for (const nr of [VFIO_CHECK_EXTENSION.nr, VFIO_IOMMU_MAP_DMA.nr, 0x3bff])
      expect((await b.plain(fd, nr, 0)).errno).toBe('ENOTTY');
  });
});

describe('a domain and its groups', () => {
  it('what is mapped is pinned from the first group to the last, and stays mapped without any', async () => {
    const b = await boot();
    const d = await domain(b);
    const vaddr = await b.memory(Number(PAGE));
    expect(await map(b, d, { vaddr })).toBeUndefined();
    expect(await b.lockedKb()).toBe(0);
    must(await join(b, d, ALONE));
    must(await join(b, d, PAIR));
    expect(await b.lockedKb()).toBe(4);
    expect(await b.dmaWrite(ALONE.members[0]!, IOVA)).toBe(true);
    expect(b.reread()).toBe(true);
    await leave(b, d, ALONE);
    expect(await b.dmaWrite(ALONE.members[0]!, IOVA)).toBe(false);
    expect(await b.dmaWrite(PAIR.members[1]!, IOVA)).toBe(true);
    await leave(b, d, PAIR);
    expect(await b.lockedKb()).toBe(0);
    expect(b.reread()).toBe(true);
    must(await join(b, d, PAIR));
    expect(await b.dmaWrite(PAIR.members[0]!, IOVA)).toBe(true);
    expect(b.host.broken()).toEqual([]);
  });

  it('lives while its file or a group has it; what it mapped goes with it', async () => {
    const b = await boot();
    const d = await domain(b);
    must(await join(b, d, ALONE));
    expect(await map(b, d, { vaddr: await b.memory(Number(PAGE)) })).toBeUndefined();
    await b.close(d.fd);
    expect(await b.dmaWrite(ALONE.members[0]!, IOVA)).toBe(true);
    await leave(b, d, ALONE);
    await b.ask(CONTAINER, containerApi.drop, { container: d.container });
    expect(b.left()).toEqual({});
    expect(await b.lockedKb()).toBe(0);
  });

  it('memory that cannot be pinned refuses the group and leaves it blocked', async () => {
    const b = await boot();
    const d = await domain(b);
    const vaddr = await b.memory(Number(PAGE), 1);
    expect(await map(b, d, { vaddr })).toBeUndefined();
    expect(await join(b, d, ALONE)).toEqual({ ok: false, errno: 'EFAULT' });
    expect(await b.dmaRead(ALONE.members[0]!, IOVA)).toBeUndefined();
    expect(b.host.broken()).toEqual([]);
  });

  it('a move has no moment between: refused, the group is where it was', async () => {
    const b = await boot();
    const [one, two] = [await domain(b), await domain(b)];
    const vaddr = await b.memory(Number(PAGE));
    expect(await map(b, one, { vaddr })).toBeUndefined();
    expect(await map(b, two, { vaddr: await b.memory(Number(PAGE), 1) })).toBeUndefined();
    must(await join(b, one, ALONE));
    const wanted = { from: one.container, to: two.container, ...ALONE, emulated: false };
    expect(await b.ask(CONTAINER, containerApi.move, wanted)).toEqual({ ok: false, errno: 'EFAULT' });
    expect(await b.dmaWrite(ALONE.members[0]!, IOVA)).toBe(true);
    expect(await unmap(b, two, {})).toBe(PAGE);
    must(await b.ask(CONTAINER, containerApi.move, wanted));
    expect(await b.dmaWrite(ALONE.members[0]!, IOVA)).toBe(false);
    expect(b.host.broken()).toEqual([]);
  });

  it('no plain container may be held as one, nor one as a plain container', async () => {
    const b = await boot();
    const d = await domain(b);
    const plain = await b.container();
    const held = (fd: number, uiommu: boolean) => {
      const { token } = b.p.fileOf(fd);
      return b.ask(CONTAINER, containerApi.hold, { token, client: b.p.address, noiommu: false, uiommu });
    };
    expect(await held(plain, true)).toEqual({ ok: false, errno: 'EBADF' });
    expect(await held(d.fd, false)).toEqual({ ok: false, errno: 'EBADFD' });
    expect(await b.ask(CONTAINER, containerApi.holdDomain, { container: 99 })).toEqual({ ok: false, errno: 'EBADF' });
  });

  it('nobody opens one on a host that does not teach', async () => {
    const b = await Bench.boot();
    const opened = await b.run(b.p.link.call(CONTAINER, sysApi.open, { path: '/dev/uiommu', flags: 2 }));
    expect(opened).toEqual({ ok: false, errno: 'ENXIO' });
  });
});
