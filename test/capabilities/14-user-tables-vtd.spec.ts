import { IOMMU_DESTROY } from '@vfiolab/uapi';
import { CALM } from '@vfiolab/sim';
import { PAGE, text } from './support/iommu-host.js';
import {
  IPA,
  ipaOf as at,
  LARGE,
  pageOf as page,
  READ_WRITE as RW,
  tableData as data,
  VA,
  vtdGuest as guest,
  VTD_S1,
} from './support/vtd-guest.js';

describe('14: a guest’s VT-d table on top of a parent: DMA goes where both stages together say', () => {
  it('reads and writes through both', async () => {
    const g = await guest();
    await g.t.poke(page(g, 4), text('composed'));
    await g.t.copy(g.device, VA, VA + PAGE + 100n, 8);
    expect(await g.t.peek(page(g, 5) + 100, 8)).toBe('composed');
    expect(await g.t.faults(g.device)).toEqual([]);
    expect(g.t.broken()).toEqual([]);
  });

  it('marks the entries it used in the guest’s memory: accessed, and dirty where it wrote', async () => {
    const g = await guest();
    await g.t.dma(g.device, VA, 4, false);
    await g.t.dma(g.device, VA + PAGE, 4, true);
    const leaves = await g.t.must(g.t.p.read(page(g, 3), 24));
    expect([leaves[0]! & 0x60, leaves[8]! & 0x60, leaves[16]! & 0x60]).toEqual([0x20, 0x60, 0]);
  });

  it('a leaf of 2 MiB', async () => {
    const g = await guest();
    await g.t.poke(page(g, 2) + 8, [RW | LARGE]);
    await g.t.poke(page(g, 7), text('large'));
    await g.t.copy(g.device, VA + 0x200000n + at(7), VA, 5);
    expect(await g.t.peek(page(g, 4), 5)).toBe('large');
  });

  it.each([
    ['an entry that is not there', VA + 3n * PAGE, false, 'not mapped by the guest'],
    ['a write to a page that is only readable', VA + 2n * PAGE, true, 'not writable in the guest table'],
    ['an address that is not canonical', 1n << 47n, false, 'not a canonical address'],
  ])('%s is refused and recorded', async (_why, iova, write, reason) => {
    const g = await guest();
    await g.t.dma(g.device, iova, 4, write);
    expect(await g.t.faults(g.device)).toMatchObject([{ iova, write, reason }]);
  });

  it('what the parent does not map is refused too', async () => {
    const g = await guest();
    await g.t.poke(page(g, 3) + 24, [0x900000n | RW]);
    await g.t.dma(g.device, VA + 3n * PAGE, 4, false);
    expect(await g.t.faults(g.device)).toMatchObject([{ reason: 'second stage: not mapped' }]);
  });

  it('a changed entry is used only after its invalidation', async () => {
    const g = await guest();
    await g.t.poke(page(g, 4), text('before'));
    await g.t.poke(page(g, 8), text('after!'));
    const seen = async (): Promise<string> => {
      await g.t.copy(g.device, VA, VA + PAGE, 6);
      return g.t.peek(page(g, 5), 6);
    };
    expect(await seen()).toBe('before');
    await g.t.poke(page(g, 3), [at(8) | RW]);
    expect(await seen()).toBe('before');
    // Another page's invalidation is not this one's.
    await g.t.invalidate(g.hwpt, 0, 24, [VA + PAGE, 1n, 0n]);
    expect(await seen()).toBe('before');
    await g.t.invalidate(g.hwpt, 0, 24, [VA, 1n, 0n]);
    expect(await seen()).toBe('after!');
    await g.t.poke(page(g, 3), [at(4) | RW]);
    await g.t.invalidate(g.hwpt, 0, 24, [0n, 0xffffffffffffffffn, 0n]);
    expect(await seen()).toBe('before');
  });

  it('a page that the parent unmaps is gone at once, whatever was remembered', async () => {
    const g = await guest();
    await g.t.dma(g.device, VA, 4, false);
    expect(await g.t.unmap(g.ioas, IPA, 16n * PAGE)).toBeUndefined();
    await g.t.dma(g.device, VA, 4, false);
    expect(await g.t.faults(g.device)).toMatchObject([{ reason: 'guest table not readable' }]);
    expect(g.t.broken()).toEqual([]);
  });

  it('what it remembers survives a restart of the IOMMU service', async () => {
    const g = await guest(undefined, { options: { ...CALM, snapshotEvery: 5 } });
    await g.t.poke(page(g, 4), text('before'));
    await g.t.dma(g.device, VA, 4, false);
    await g.t.poke(page(g, 3), [at(8) | RW]);
    g.t.host.host.crash('iommu', 5);
    await g.t.copy(g.device, VA, VA + PAGE, 6);
    expect(await g.t.peek(page(g, 5), 6)).toBe('before');
  });
});

describe('14: what is refused when it is made or attached', () => {
  it.each([
    ['data of another driver', { data_type: 2, data_len: 16, data_uptr: new Uint8Array(16) }, 'EOPNOTSUPP'],
    ['no data', {}, 'EOPNOTSUPP'],
    ['data that is too short', { data_type: VTD_S1, data_len: 16, data_uptr: new Uint8Array(16) }, 'EINVAL'],
    ['data that is too long', { data_type: VTD_S1, data_len: 32, data_uptr: new Uint8Array(32) }, 'EINVAL'],
    ['data that cannot be read', { data_type: VTD_S1, data_len: 24, data_uptr: 1n }, 'EFAULT'],
  ] as const)('%s', async (_why, fields, errno) => {
    const { t, device, parent } = await guest();
    await expect(t.hwpt(device, parent, fields)).rejects.toThrow(errno);
  });

  it('a parent that was not made as one', async () => {
    const { t, device, ioas } = await guest();
    const plain = await t.hwpt(device, ioas);
    await expect(t.hwpt(device, plain, data([0n, at(0), 48n]))).rejects.toThrow('EINVAL');
  });

  it.each([
    ['five levels', [0n, IPA, 57n]],
    ['no width at all', [0n, IPA, 0n]],
    ['extended access flags', [2n, IPA, 48n]],
  ])('%s, which the hardware has not got', async (_why, words) => {
    const { t, device, parent, hwpt } = await guest();
    const odd = await t.hwpt(device, parent, data(words));
    expect(await t.attach(device, odd)).toBe('EINVAL');
    expect(await t.errno(IOMMU_DESTROY, { id: hwpt })).toBe('EBUSY');
  });
});
