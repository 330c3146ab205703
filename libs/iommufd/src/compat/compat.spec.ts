import {
  decode,
  encode,
  type Errno,
  IOMMU_DESTROY,
  IOMMU_IOAS_MAP_FILE,
  IOMMU_OPTION,
  IOMMU_VFIO_IOAS,
  VFIO_CHECK_EXTENSION,
  VFIO_GET_API_VERSION,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  VFIO_SET_IOMMU,
} from '@vfiolab/uapi';
import { GROUPS, IOMMUFD, iommufdApi, sysApi } from '@vfiolab/core';
import { APERTURE, MockBench } from '../testing/mock-bench.js';

const [TYPE1, TYPE1_V2] = [1, 3];
const [GET, SET] = [0, 1];

async function setup(withDevice = true) {
  const b = await MockBench.boot();
  const ioas_id = await b.ioas();
  await b.errno(IOMMU_VFIO_IOAS, { ioas_id, op: SET });
  if (withDevice) await b.mock(ioas_id);
  const va = await b.memory(65536);
  const plain = (nr: number, arg: number) => b.run(b.p.ioctlAt(b.fd, nr, arg, []));
  const map = (fields = {}) =>
    b.errno(VFIO_IOMMU_MAP_DMA, { flags: 3, vaddr: va, iova: APERTURE, size: 16384n, ...fields });
  const unmap = async (fields: object): Promise<[Errno | undefined, bigint]> => {
    const { errno, out } = await b.ioctl(VFIO_IOMMU_UNMAP_DMA, { argsz: 24, ...fields });
    return [errno, out.size];
  };
  return { b, ioas_id, va, plain, map, unmap };
}

it('a group that comes finds the IOAS, or makes it (b022), and keeps the context', async () => {
  const b = await MockBench.boot();
  const { methods } = b.host.host.actor(IOMMUFD)!.machine.core;
  const hold = (token: string, noiommu = false): unknown =>
    methods
      .get(iommufdApi.compatHold.id)!
      .handle({ from: GROUPS, now: 0, entropy: new Uint8Array(0) }, { token, client: b.p.address, noiommu });
  const { token } = b.p.fileOf(b.fd);
  const held = { ok: true, value: { context: expect.any(Number) } };
  expect(hold('nobody')).toEqual({ ok: false, errno: 'EBADF' });
  for (let i = 0; i < 2; i++) expect(hold(token)).toEqual(held);
  expect(hold(token, true)).toEqual({ ok: false, errno: 'EINVAL' });
  expect((await b.ioctl(IOMMU_VFIO_IOAS, { op: GET })).out.ioas_id).toBe(1);
  expect(await b.errno(IOMMU_DESTROY, { id: 1 })).toBeUndefined();
  expect(hold(token)).toEqual(held);
  await b.must(b.p.close(b.fd));
  expect(b.host.figures(IOMMUFD)).toMatchObject({ contexts: 1, objects: 1, files: 0 });
});

it.each([
  ['/dev/iommu', 0n],
  ['/dev/vfio/vfio', 1n],
])('%s charges as its name always did (B3.1)', async (path, mode) => {
  const b = await MockBench.boot();
  const opened = await b.must(b.p.link.call(IOMMUFD, sysApi.open, { path, flags: 2 }));
  const size = IOMMU_OPTION.struct.size;
  const bytes = encode(IOMMU_OPTION.struct, { size, option_id: 0, op: 1 });
  const segments = [{ va: 4096, writable: true, bytes }];
  const call = { token: opened.token, cmd: IOMMU_OPTION.nr, arg: 4096, segments, fds: [] };
  const { writes } = await b.run(b.p.link.call(IOMMUFD, sysApi.ioctl, call));
  for (const write of writes) bytes.set(write.bytes, write.va - 4096);
  expect(decode(IOMMU_OPTION.struct, bytes).val64).toBe(mode);
});

it('without an IOAS the questions about domains are ENODEV, the others are answered', async () => {
  const b = await MockBench.boot();
  const plain = (nr: number, arg: number) => b.run(b.p.ioctlAt(b.fd, nr, arg, []));
  expect(await plain(VFIO_GET_API_VERSION.nr, 0)).toEqual({ ret: 0, errno: undefined });
  const extensions = [1, 3, 9, 8, 4, 6, 10];
  const answers: unknown[] = [];
  for (const n of extensions) {
    const { ret, errno } = await plain(VFIO_CHECK_EXTENSION.nr, n);
    answers.push(errno ?? ret);
  }
  expect(answers).toEqual([1, 1, 1, 1, 'ENODEV', 0, 0]);
  expect((await plain(VFIO_SET_IOMMU.nr, TYPE1_V2)).errno).toBe('ENODEV');
  expect(await b.errno(VFIO_IOMMU_MAP_DMA, { flags: 3, size: 4096n })).toBe('ENODEV');
});

it.each([
  [0, 'EINVAL'],
  [2, 'EINVAL'],
  [TYPE1_V2, undefined],
  [TYPE1, undefined],
])('SET_IOMMU(%i) can be repeated and switched (SURPRISES 24)', async (type, errno) => {
  const { plain } = await setup();
  for (let i = 0; i < 2; i++) expect((await plain(VFIO_SET_IOMMU.nr, type)).errno).toBe(errno);
});

it.each([
  ['an unknown flag', { flags: 4 }, 'EINVAL'],
  ['argsz too small', { argsz: 31 }, 'EINVAL'],
  ['no size', { size: 0n }, 'EINVAL'],
  ['outside the aperture', { iova: 0x1000n }, 'EINVAL'],
  ['memory that is not there', { vaddr: 0x1000n }, 'EFAULT'],
  ['an IOVA that wraps', { iova: 0xfffffffffffff000n, size: 8192n }, 'EOVERFLOW'],
  ['no permission at all, which the mock takes (SURPRISES 15)', { flags: 0 }, undefined],
] as const)('MAP_DMA: %s', async (_why, fields, errno) => {
  const { b, map } = await setup();
  expect(await map(fields)).toBe(errno);
  expect(b.host.broken()).toEqual([]);
});

it('UNMAP_DMA of v2 takes whole mappings; the size comes back also with an error (SURPRISES 23)', async () => {
  const { map, unmap } = await setup();
  await map({ size: 4096n });
  await map({ iova: APERTURE + 4096n, size: 8192n });
  expect(await unmap({ iova: APERTURE, size: 8192n })).toEqual(['ENOENT', 4096n]);
  expect(await unmap({ iova: APERTURE, size: 4096n })).toEqual([undefined, 0n]);
  expect(await unmap({ flags: 1, iova: APERTURE, size: 4096n })).toEqual(['EINVAL', 4096n]);
  expect(await unmap({ flags: 2, iova: APERTURE })).toEqual(['EINVAL', 0n]);
  expect(await unmap({ size: 0n })).toEqual(['EINVAL', 0n]);
  expect(await unmap({ flags: 2 })).toEqual([undefined, 8192n]);
});

it('v1 cuts mappings where the range ends, without a new pin or charge (a041)', async () => {
  const { b, plain, map, unmap } = await setup(false);
  expect((await plain(VFIO_SET_IOMMU.nr, TYPE1)).errno).toBeUndefined();
  const { ioas_id } = (await b.ioctl(IOMMU_VFIO_IOAS, { op: GET })).out;
  await b.mock(ioas_id);
  await map();
  expect(await unmap({ iova: APERTURE + 4096n, size: 4096n })).toEqual([undefined, 4096n]);
  expect(await b.pinnedKb()).toBe(12);
  expect(b.host.broken()).toEqual([]);
  expect(await b.reread()).toBe(true);
  expect(await unmap({ iova: APERTURE, size: 16384n })).toEqual([undefined, 12288n]);
  expect(await b.pinnedKb()).toBe(0);
  expect(await b.afterExit()).toEqual([]);
});

it('v1 does not cut what shows a dma-buf (c066)', async () => {
  const b = await MockBench.boot('7.2');
  const ioas_id = await b.ioas();
  await b.mock(ioas_id);
  await b.ioctl(IOMMU_VFIO_IOAS, { op: SET, ioas_id });
  await b.run(b.p.ioctlAt(b.fd, VFIO_SET_IOMMU.nr, TYPE1, []));
  const fd = (await b.dmabuf(16384)) as number;
  const map = { flags: 7, ioas_id, fd, length: 16384n, iova: APERTURE };
  expect(await b.errno(IOMMU_IOAS_MAP_FILE, map)).toBeUndefined();
  const unmap = async (size: bigint) => (await b.ioctl(VFIO_IOMMU_UNMAP_DMA, { iova: APERTURE, size })).errno;
  expect(await unmap(4096n)).toBe('EOPNOTSUPP');
  expect(await unmap(16384n)).toBeUndefined();
  expect(await b.afterExit()).toEqual([]);
});

it('v1 is EINVAL once a domain holds areas', async () => {
  const { plain, map } = await setup();
  await map();
  expect((await plain(VFIO_SET_IOMMU.nr, TYPE1)).errno).toBe('EINVAL');
});

it.each([
  ['argsz too small', 8, 'EINVAL', 8, 0],
  ['the old struct', 16, undefined, 72, 0],
  ['no room for the chain', 24, undefined, 72, 0],
  ['room for one capability: it is written, and not announced', 44, undefined, 72, 0],
  ['room for all', 72, undefined, 72, 24],
] as const)('GET_INFO: %s (SURPRISES 25)', async (_why, argsz, errno, needed, cap_offset) => {
  const { b } = await setup();
  const answer = await b.run(b.p.ioctl(b.fd, VFIO_IOMMU_GET_INFO, { argsz }, { room: 64 }));
  expect([answer.errno, answer.out.argsz, answer.out.cap_offset]).toEqual([errno, needed, argsz < 24 ? 0 : cap_offset]);
  if (!errno) expect(answer.out.iova_pgsizes).toBe(0x1000n);
  if (cap_offset) expect(new Uint16Array(answer.tail.slice(0, 4).buffer)[0]).toBe(3);
});
