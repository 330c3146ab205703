import { IOMMU_DESTROY, IOMMU_VIOMMU_ALLOC } from '@vfiolab/uapi';
import { MockBench } from './testing/mock-bench.js';

const WORD = 0x77;
const [RW, RX] = [3, 5];

async function setup() {
  const b = await MockBench.boot('7.2');
  const ioas = await b.ioas();
  const { device } = await b.mock(ioas);
  const base = { type: 0xdeadbeef, dev_id: device, hwpt_id: await b.hwpt(device, ioas, 1) };
  const viommu = async (): Promise<number> => {
    const data_uptr = Uint8Array.of(WORD, ...new Uint8Array(23));
    return (await b.ioctl(IOMMU_VIOMMU_ALLOC, { ...base, data_len: 24, data_uptr })).out.out_viommu_id;
  };
  const id = await viommu();
  const map = (how = {}, offset = 0x1000, length = 0x2000) => b.run(b.p.mapFile(b.fd, offset, length, how));
  const mapped = () => b.must(b.p.mapFile(b.fd, 0x1000, 0x2000));
  const destroy = (of = id) => b.errno(IOMMU_DESTROY, { id: of });
  const peek = (va: number) => b.run(b.p.load(va, 4));
  return { b, id, viommu, map, mapped, destroy, peek };
}

it.each([
  ['private', { shared: false }, 0x1000, 0x2000, 'EINVAL'],
  ['nothing', {}, 0x1000, 0, 'EINVAL'],
  ['not from a page on', {}, 0x1004, 0x2000, 'EINVAL'],
  ['executable, before the place is looked for', { prot: RX }, 0x9000, 0x2000, 'EPERM'],
  ['a part from the start', {}, 0x1000, 0x1000, 'ENXIO'],
  ['a part to the end', {}, 0x2000, 0x1000, 'ENXIO'],
  ['more than it', {}, 0x1000, 0x3000, 'ENXIO'],
  ['another place', {}, 0x3000, 0x2000, 'ENXIO'],
])('mmap of a window: %s (c031)', async (_why, how, offset, length, errno) => {
  const { b, map, destroy } = await setup();
  expect(await map(how, offset, length)).toEqual({ ok: false, errno });
  expect(await destroy()).toBeUndefined();
  expect(await b.afterExit()).toEqual([]);
});

it('before 7.2 there is no mmap', async () => {
  const b = await MockBench.boot('6.12');
  expect(await b.run(b.p.mapFile(b.fd, 0x1000, 0x2000, { shared: false }))).toEqual({ ok: false, errno: 'ENODEV' });
});

it('every mapping shows the same bytes, which begin with the word of the caller', async () => {
  const { b, mapped, peek, map } = await setup();
  const [one, two] = [await mapped(), await mapped()];
  expect(await peek(one)).toEqual({ ok: true, value: Uint8Array.of(WORD, 0, 0, 0) });
  await b.must(b.p.store(one + 0x1ffc, 4, Uint8Array.of(1, 2, 3, 4)));
  expect(await peek(two + 0x1ffc)).toEqual({ ok: true, value: Uint8Array.of(1, 2, 3, 4) });
  const readOnly = await map({ prot: 1 });
  expect(await b.run(b.p.store(readOnly.ok ? readOnly.value : 0, 4, new Uint8Array(4)))).toMatchObject({ ok: false });
  expect(await b.reread()).toBe(true);
});

it('a vIOMMU stays until the last piece of the last mapping is gone (c031)', async () => {
  const { b, mapped, destroy, viommu, map } = await setup();
  const [one, two] = [await mapped(), await mapped()];
  for (const [va, length] of [
    [one, 0x1000],
    [one + 0x1000, 0x1000],
    [two, 0x2000],
  ] as const) {
    expect(await destroy()).toBe('EBUSY');
    expect(b.host.broken()).toEqual([]);
    await b.must(b.p.munmap(va, length));
  }
  expect(await destroy()).toBeUndefined();
  expect(await map()).toEqual({ ok: false, errno: 'ENXIO' });
  await viommu();
  expect(await map()).toMatchObject({ ok: true });
});

it('a mapping keeps the context when the file is closed, and a child has it too', async () => {
  const { b, mapped, peek } = await setup();
  const va = await mapped();
  await b.must(b.p.close(b.fd));
  expect(await peek(va)).toMatchObject({ ok: true });
  const child = await b.host.process('child');
  await b.must(b.p.fork(child));
  await b.must(b.p.munmap(va, 0x2000));
  expect(await b.run(child.load(va, 4))).toEqual({ ok: true, value: Uint8Array.of(WORD, 0, 0, 0) });
  expect(b.host.figures('iommufd')).toMatchObject({ contexts: 1, files: 1 });
  await b.run(child.exit());
  expect(await b.afterExit()).toEqual([]);
});

it('memory behind a window cannot be mapped for DMA: it has no pages that could be pinned', async () => {
  const { b, mapped } = await setup();
  const va = await mapped();
  expect(await b.map(1, 0x1000000n, 0x1000n, BigInt(va))).toBe('EFAULT');
  expect(await b.afterExit()).toEqual([]);
});

it('protection of a part can be changed', async () => {
  const { b, mapped } = await setup();
  const va = await mapped();
  await b.must(b.p.mprotect(va, 0x1000, 0));
  expect(await b.run(b.p.load(va, 4))).toEqual({ ok: false, errno: 'EFAULT' });
  expect(await b.run(b.p.load(va + 0x1000, 4))).toMatchObject({ ok: true });
  await b.must(b.p.mprotect(va, 0x2000, RW));
  expect(await b.run(b.p.load(va, 4))).toMatchObject({ ok: true });
  expect(await b.run(b.p.mprotect(va, 0x3000, RW))).toEqual({ ok: false, errno: 'ENOMEM' });
});
