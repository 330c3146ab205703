import { VFIO_IOMMU_MAP_DMA } from '@vfiolab/uapi';
import { PAIR, Bench, TYPE1 } from '../../testing/bench.js';

const IOVA = 0x100000n;
const [BDF] = PAIR.members;
const PAGE = 4096n;
const [ROOT_CAPS, NO_CAPS] = [0xff, 0];
const user = (memlock: number) => ({ uid: 1000, caps: NO_CAPS, memlock });

async function setup(profile = '6.12', type?: number) {
  const b = await Bench.boot({ profile });
  const made = await b.ready(type);
  return { b, ...made, va: await b.memory(0x200000) };
}

it('the device reaches what is mapped, with the permission it was mapped with (b032)', async () => {
  const { b, fd, va } = await setup();
  expect(await b.map(fd, { vaddr: va, iova: IOVA, size: 2n * PAGE })).toBeUndefined();
  expect(await b.map(fd, { flags: 1, vaddr: va, iova: 2n * IOVA, size: PAGE })).toBeUndefined();
  expect(await b.dmaWrite(BDF!, IOVA + PAGE)).toBe(true);
  expect(await b.dmaRead(BDF!, 2n * IOVA)).toHaveLength(8);
  expect(await b.dmaWrite(BDF!, 2n * IOVA)).toBe(false);
  expect(await b.dmaWrite(BDF!, IOVA + 2n * PAGE)).toBe(false);
  expect(b.reread()).toBe(true);
  expect(b.host.broken()).toEqual([]);
});

it.each([
  ['an unknown flag', { flags: 8 }, 'EINVAL'],
  ['no permission', { flags: 0 }, 'EINVAL'],
  ['VADDR and a permission', { flags: 5 }, 'EINVAL'],
  ['VADDR where nothing is', { flags: 4 }, 'ENOENT'],
  ['argsz too small', { argsz: 31 }, 'EINVAL'],
  ['no size', { size: 0n }, 'EINVAL'],
  ['half a page', { size: 0x800n }, 'EINVAL'],
  ['an IOVA in a page', { iova: IOVA + 1n }, 'EINVAL'],
  ['an address in a page', { vaddr: 0x7f0000000800n }, 'EINVAL'],
  ['memory that is not there', { vaddr: 0x1000n }, 'EFAULT'],
  ['an address that is none', { vaddr: 1n << 62n }, 'EFAULT'],
  ['the MSI window', { iova: 0xfee00000n }, 'EINVAL'],
  ['a range into the MSI window', { iova: 0xfed00000n, size: 0x200000n }, 'EINVAL'],
  ['beyond the aperture', { iova: 1n << 48n }, 'EINVAL'],
  ['the last page of the space', { iova: 0xfffffffffffff000n }, 'EINVAL'],
] as const)('%s: %s (b070)', async (_what, fields, errno) => {
  const { b, fd, va } = await setup();
  expect(await b.map(fd, { vaddr: va, iova: IOVA, size: PAGE, ...fields })).toBe(errno);
  expect(await b.lockedKb()).toBe(0);
  expect(b.host.broken()).toEqual([]);
});

it.each([
  ['6.12', { iova: 0xfffffffffffff000n, size: 8192n }, 'EINVAL'],
  ['7.2', { iova: 0xfffffffffffff000n, size: 8192n }, 'EOVERFLOW'],
  ['7.2', { size: 0xfffffffffffff000n }, 'EOVERFLOW'],
  ['7.2', { iova: 0xffffffffffffffffn, size: 2n, flags: 0 }, 'EOVERFLOW'],
  ['7.2', { vaddr: 0xfffffffffffff000n, size: 8192n }, 'EOVERFLOW'],
])('on %s a range that wraps (DIFF 14)', async (profile, fields, errno) => {
  const { b, fd, va } = await setup(profile);
  expect(await b.map(fd, { vaddr: va, iova: IOVA, size: PAGE, ...fields })).toBe(errno);
});

it('an overlap is EEXIST, before the limit and the valid ranges', async () => {
  const { b, fd, va } = await setup();
  await b.map(fd, { vaddr: va, iova: IOVA, size: 4n * PAGE });
  for (const [iova, size] of [
    [IOVA, PAGE],
    [IOVA + 3n * PAGE, 2n * PAGE],
    [IOVA - PAGE, 2n * PAGE],
    [IOVA - PAGE, 8n * PAGE],
    [IOVA, 1n << 49n],
  ] as const)
    expect(await b.map(fd, { vaddr: va, iova, size })).toBe('EEXIST');
  expect(await b.map(fd, { vaddr: va, iova: IOVA + 4n * PAGE, size: PAGE })).toBeUndefined();
  expect(await b.map(fd, { vaddr: va, iova: IOVA - PAGE, size: PAGE })).toBeUndefined();
});

it('dma_entry_limit counts mappings; it is what it was when the backend was chosen (b075)', async () => {
  const b = await Bench.boot();
  await b.parameter('dma_entry_limit', 2);
  const { fd } = await b.ready();
  await b.parameter('dma_entry_limit', 65535);
  const va = await b.memory(PAGE_BYTES);
  const mapAt = (n: bigint) => b.map(fd, { vaddr: va, iova: n * IOVA, size: PAGE });
  expect([await mapAt(1n), await mapAt(2n), await mapAt(3n)]).toEqual([undefined, undefined, 'ENOSPC']);
  await b.unmap(fd, { iova: IOVA, size: PAGE });
  expect(await mapAt(3n)).toBeUndefined();
  expect(b.reread()).toBe(true);
});

const PAGE_BYTES = 4096;

describe('charges (B3.4, SURPRISES 18)', () => {
  it('every mapping is charged to VmLck, also of root, also twice the same memory; VmPin does not move', async () => {
    const { b, fd, va } = await setup();
    for (const n of [1n, 2n]) await b.map(fd, { vaddr: va, iova: n * IOVA, size: 4n * PAGE });
    expect(await b.status()).toEqual({ vmLockedKb: 32, vmPinnedKb: 0 });
    await b.unmap(fd, { iova: IOVA, size: 4n * PAGE });
    expect(await b.status()).toEqual({ vmLockedKb: 16, vmPinnedKb: 0 });
  });

  it('the limit holds without CAP_IPC_LOCK at the time of the call, for all that VmLck counts (b075)', async () => {
    const { b, fd, va } = await setup();
    await b.run(b.p.setMemlock(65536));
    expect(await b.map(fd, { vaddr: va, iova: IOVA, size: 0x20000n })).toBeUndefined();
    await b.run(b.p.setUid(1000));
    expect(await b.map(fd, { vaddr: va, iova: 4n * IOVA, size: PAGE })).toBe('ENOMEM');
    expect(await b.lockedKb()).toBe(128);
    await b.unmap(fd, { flags: 2 });
    expect(await b.map(fd, { vaddr: va, iova: 4n * IOVA, size: 0x11000n })).toBe('ENOMEM');
    expect(await b.map(fd, { vaddr: va, iova: 4n * IOVA, size: 0x10000n })).toBeUndefined();
    expect(await b.run(b.p.mlock(Number(va), PAGE_BYTES))).toEqual({ ok: false, errno: 'ENOMEM' });
    expect(b.host.broken()).toEqual([]);
  });

  it.each([
    [3, 8, 'ENOMEM'],
    [4, 8, 'EFAULT'],
    [8, 4, 'EFAULT'],
  ])(
    'with room for %i pages, and memory for 4 of them: page by page, what comes first wins',
    async (room, _n, errno) => {
      const b = await Bench.boot({}, user(room * PAGE_BYTES));
      const { fd } = await b.ready();
      const va = await b.memory(8 * PAGE_BYTES);
      await b.run(b.p.munmap(Number(va) + 4 * PAGE_BYTES, 4 * PAGE_BYTES));
      expect(await b.map(fd, { vaddr: va, iova: IOVA, size: 8n * PAGE })).toBe(errno);
      expect(await b.lockedKb()).toBe(0);
      expect(b.host.broken()).toEqual([]);
    },
  );

  it('whoever maps pays, and a mapping outlives its process (B3.7)', async () => {
    const { b, fd } = await setup();
    const other = await b.host.process('other', { uid: 0, caps: ROOT_CAPS, memlock: 1 << 20 });
    const granted = await b.run(b.p.fork(other));
    expect(granted.ok).toBe(true);
    const va = await b.memory(PAGE_BYTES, 3, other);
    expect(await b.map(fd, { vaddr: va, iova: IOVA, size: PAGE }, other)).toBeUndefined();
    expect([await b.lockedKb(), await b.lockedKb(other)]).toEqual([0, 4]);
    await b.run(other.exit());
    expect(await b.dmaWrite(BDF!, IOVA)).toBe(true);
    expect(await b.unmap(fd, { iova: IOVA, size: PAGE })).toBe(PAGE);
    expect(b.host.broken()).toEqual([]);
  });
});

describe('memory (b077)', () => {
  it('read-only memory for reading only; a hole refuses everything', async () => {
    const { b, fd } = await setup();
    const ro = await b.memory(4 * PAGE_BYTES, 1);
    expect(await b.map(fd, { vaddr: ro, iova: IOVA, size: 4n * PAGE })).toBe('EFAULT');
    expect(await b.map(fd, { flags: 1, vaddr: ro, iova: IOVA, size: 4n * PAGE })).toBeUndefined();
    expect(await b.map(fd, { flags: 1, vaddr: ro, iova: 4n * IOVA, size: 5n * PAGE })).toBe('EFAULT');
    expect(await b.lockedKb()).toBe(16);
  });

  it('hugetlb, shared and memfd memory are charged by the page', async () => {
    const { b, fd } = await setup();
    const huge = await b.run(b.p.mmap(0x200000, { pageShift: 21 }));
    const shared = await b.run(b.p.mmapShared(PAGE_BYTES));
    if (!huge.ok || !shared.ok) throw new Error('no memory');
    expect(await b.map(fd, { vaddr: BigInt(huge.value), iova: 0x400000n, size: 0x200000n })).toBeUndefined();
    expect(await b.map(fd, { vaddr: BigInt(shared.value), iova: IOVA, size: PAGE })).toBeUndefined();
    expect(await b.lockedKb()).toBe(2052);
    await b.dmaWrite(BDF!, IOVA, 4);
    expect(await b.run(b.p.read(shared.value, 4))).toEqual({ ok: true, value: new Uint8Array(4).fill(0x5a) });
  });

  it('what the process unmaps the device still has; it gives it back with the mapping (feature 58)', async () => {
    const { b, fd, va } = await setup();
    await b.map(fd, { vaddr: va, iova: IOVA, size: PAGE });
    await b.run(b.p.munmap(Number(va), PAGE_BYTES));
    expect(await b.dmaWrite(BDF!, IOVA)).toBe(true);
    expect(await b.lockedKb()).toBe(4);
    await b.unmap(fd, { iova: IOVA, size: PAGE });
    expect(await b.dmaWrite(BDF!, IOVA)).toBe(false);
    expect(await b.map(fd, { vaddr: va, iova: IOVA, size: PAGE })).toBe('EFAULT');
    expect(b.host.broken()).toEqual([]);
  });

  it('no memory left on the host is ENOMEM, and nothing stays', async () => {
    const b = await Bench.boot({ frames: 64 });
    const { fd } = await b.ready();
    const va = await b.memory(128 * PAGE_BYTES);
    expect(await b.map(fd, { vaddr: va, iova: IOVA, size: 128n * PAGE })).toBe('ENOMEM');
    expect(await b.lockedKb()).toBe(0);
    expect(b.host.broken()).toEqual([]);
  });
});

describe('a new address for a mapping (b074)', () => {
  it('only after the old one was said to be invalid, only for the whole mapping', async () => {
    const { b, fd, va } = await setup();
    const set = (fields = {}) => b.map(fd, { flags: 4, vaddr: va, iova: IOVA, size: 4n * PAGE, ...fields });
    const invalidate = (fields = {}) => b.unmap(fd, { flags: 4, iova: IOVA, size: 4n * PAGE, ...fields });
    await b.map(fd, { vaddr: va, iova: IOVA, size: 4n * PAGE });
    expect(await set()).toBe('EINVAL');
    expect(await invalidate()).toBe(4n * PAGE);
    expect(await invalidate()).toBe('EINVAL');
    expect(b.reread()).toBe(true);
    expect(await set({ size: 2n * PAGE })).toBe('EINVAL');
    expect(await set({ iova: IOVA + PAGE, size: PAGE })).toBe('EINVAL');
    expect(await b.dmaWrite(BDF!, IOVA)).toBe(true);
    expect(await set()).toBeUndefined();
    expect(await set()).toBe('EINVAL');
    expect(await b.unmap(fd, { flags: 6 })).toBe(4n * PAGE);
    expect(await b.unmap(fd, { iova: IOVA, size: 4n * PAGE })).toBe(4n * PAGE);
    expect(b.host.broken()).toEqual([]);
  });

  it('an address that is invalid already refuses the rest too', async () => {
    const { b, fd, va } = await setup();
    for (const n of [1n, 2n]) await b.map(fd, { vaddr: va, iova: n * IOVA, size: PAGE });
    await b.unmap(fd, { flags: 4, iova: 2n * IOVA, size: PAGE });
    expect(await b.unmap(fd, { flags: 6 })).toBe('EINVAL');
    expect(await b.map(fd, { flags: 4, vaddr: va, iova: IOVA, size: PAGE })).toBe('EINVAL');
    expect(b.host.broken()).toEqual([]);
  });

  it.each([
    [4, undefined, [0, 16]],
    [3, 'ENOMEM', [16, 0]],
  ])('another process takes the charge over; with room for %i of 4 pages: %s (B3.7)', async (room, errno, kb) => {
    const { b, fd, va } = await setup();
    await b.map(fd, { vaddr: va, iova: IOVA, size: 4n * PAGE });
    await b.unmap(fd, { flags: 4, iova: IOVA, size: 4n * PAGE });
    const next = await b.host.process('next');
    await b.run(b.p.fork(next));
    await b.run(next.setMemlock(room * PAGE_BYTES));
    await b.run(next.setUid(1000));
    const there = await b.memory(4 * PAGE_BYTES, 3, next);
    expect(await b.map(fd, { flags: 4, vaddr: there, iova: IOVA, size: 4n * PAGE }, next)).toBe(errno);
    expect([await b.lockedKb(), await b.lockedKb(next)]).toEqual(kb);
    expect(b.host.broken()).toEqual([]);
    for (const p of [b.p, next]) await b.run(p.exit());
    expect(b.host.broken()).toEqual([]);
  });

  it('exec: the old memory is gone, the device still has it, the new address brings the charge along (feature 88)', async () => {
    const { b, fd, va } = await setup();
    await b.run(b.p.write(Number(va), new Uint8Array(4).fill(7)));
    await b.map(fd, { vaddr: va, iova: IOVA, size: 4n * PAGE });
    await b.unmap(fd, { flags: 6 });
    await b.run(b.p.exec());
    expect(await b.lockedKb()).toBe(0);
    expect(await b.dmaRead(BDF!, IOVA, 4)).toEqual(new Uint8Array(4).fill(7));
    const there = await b.memory(4 * PAGE_BYTES);
    expect(await b.map(fd, { flags: 4, vaddr: there, iova: IOVA, size: 4n * PAGE })).toBeUndefined();
    expect(await b.lockedKb()).toBe(16);
    expect(await b.unmap(fd, { flags: 2 })).toBe(4n * PAGE);
    expect(await b.lockedKb()).toBe(0);
    expect(b.host.broken()).toEqual([]);
  });
});

it('v1 maps as v2 does', async () => {
  const { b, fd, va } = await setup('6.12', TYPE1);
  expect(
    (await b.ioctl(fd, VFIO_IOMMU_MAP_DMA, { flags: 3, vaddr: va, iova: IOVA, size: PAGE })).errno,
  ).toBeUndefined();
  expect(await b.dmaWrite(BDF!, IOVA)).toBe(true);
});
