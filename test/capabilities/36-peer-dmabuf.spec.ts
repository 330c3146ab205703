import { REG_LIVENESS } from '@vfiolab/devices';
import { IOMMU } from '@vfiolab/core';
import {
  IOMMU_IOAS_MAP_FILE,
  IOMMU_IOAS_UNMAP,
  VFIO_DEVICE_FEATURE_DMA_BUF,
  VFIO_DEVICE_FEATURE_GET,
  VFIO_DEVICE_RESET,
  encode,
  vfio_device_feature_dma_buf,
  vfio_region_dma_range,
} from '@vfiolab/uapi';
import { BDFS, BAR_SIZE, type Device, Host, IO_BAR, NOTHING, type Program } from './support/passthrough.js';

const GET = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_BUF;
const PAGE = 4096;
const IOVA = 0x200000n;
const ALL = 2n ** 64n - 1n;

type Ranges = readonly (readonly [number, number])[];

/** The new fd, or the errno. */
async function exported(d: Device, ranges: Ranges, region_index = 0, count = ranges.length): Promise<number | string> {
  const header = encode(vfio_device_feature_dma_buf, { region_index, open_flags: 2, flags: 0, nr_ranges: count });
  const tail = ranges.map(([offset, length]) =>
    encode(vfio_region_dma_range, { offset: BigInt(offset), length: BigInt(length) }),
  );
  const payload = Uint8Array.from([header, ...tail].flatMap((bytes) => [...bytes]));
  const { errno, ret } = await d.feature(GET, payload);
  return errno ?? ret;
}

const map = (p: Program, fd: number, length = PAGE, start = 0, iova = IOVA) =>
  p.errno(p.iommufd, IOMMU_IOAS_MAP_FILE, {
    flags: 7,
    ioas_id: p.ioas,
    fd,
    start: BigInt(start),
    length: BigInt(length),
    iova,
  });
const unmap = (p: Program) => p.errno(p.iommufd, IOMMU_IOAS_UNMAP, { ioas_id: p.ioas, iova: 0n, length: ALL });

const shared = async (host: Host) => {
  const p = await host.program('vmm');
  const [device, peer] = [await p.device(BDFS[0]), await p.device(BDFS[1])];
  const fd = (await exported(peer, [[0, PAGE]])) as number;
  expect(await map(p, fd)).toBeUndefined();
  return { p, device, peer, fd };
};

it("36: a function's DMA reaches a register of its peer, and reads it", async () => {
  const host = await Host.boot();
  const { p, device, peer } = await shared(host);
  const va = await p.mapped(0x10000n, PAGE);
  await p.must(p.process.write(va, Uint8Array.of(0xf0, 0xf0, 0xf0, 0xf0)));
  await device.fetch(0x10000n, 4);
  await device.store(IOVA + BigInt(REG_LIVENESS), 4);
  expect(await peer.read(REG_LIVENESS)).toBe(0x0f0f0f0fn);
  await device.fetch(IOVA + BigInt(REG_LIVENESS), 4);
  await device.store(0x10000n, 4);
  expect([...(await p.must(p.process.read(va, 4)))]).toEqual([15, 15, 15, 15]);
  expect(await host.afterwards(p)).toEqual(NOTHING);
  expect(host.host.figures(IOMMU)).toMatchObject({ mappedPages: 0 });
});

it.each<[string, (d: Device) => Promise<unknown>]>([
  ['memory decoding off', async (d) => [await d.command(0x0004), await d.command(0x0006)]],
  ['a reset', (d) => d.p.host.run(d.p.process.ioctlPlain(d.fd, VFIO_DEVICE_RESET))],
])('36: %s takes the memory away from importers; mapping it anew brings it back', async (_what, revoke) => {
  const host = await Host.boot();
  const { p, device, peer, fd } = await shared(host);
  await revoke(peer);
  await device.store(IOVA + BigInt(REG_LIVENESS), 4);
  expect(await peer.read(REG_LIVENESS)).toBe(0n);
  expect(await unmap(p)).toBeUndefined();
  expect(await map(p, fd)).toBeUndefined();
  await device.store(IOVA + BigInt(REG_LIVENESS), 4);
  expect(await peer.read(REG_LIVENESS)).toBe(0xffffffffn);
  expect(await host.afterwards(p)).toEqual(NOTHING);
});

it('36: while windows do not answer a dma-buf is revoked, and after the last close it is dead', async () => {
  const host = await Host.boot();
  const { p, peer, fd } = await shared(host);
  await unmap(p);
  await peer.command(0);
  const born = (await exported(peer, [[PAGE, PAGE]])) as number;
  expect([await map(p, fd), await map(p, born)]).toEqual(['ENODEV', 'ENODEV']);
  await peer.command(6);
  expect([await map(p, fd), await map(p, born, PAGE, 0, 2n * IOVA)]).toEqual([undefined, undefined]);
  await p.must(p.process.close(peer.fd));
  const again = await p.device(BDFS[1]);
  expect([await map(p, fd, PAGE, 0, 3n * IOVA), await again.read(REG_LIVENESS)]).toEqual(['ENODEV', 0n]);
  expect(await host.afterwards(p, BDFS[1])).toEqual(NOTHING);
});

it('36: what is not whole pages of a memory BAR is refused', async () => {
  const host = await Host.boot();
  const p = await host.program('vmm');
  const d = await p.device();
  const refused: [Ranges, number, number?][] = [
    [[], 0],
    [[[0, 0]], 0],
    [[[2048, PAGE]], 0],
    [[[0, 100]], 0],
    [[[BAR_SIZE, PAGE]], 0],
    [[[0, 32]], IO_BAR],
    [[[0, PAGE]], 1],
    [[[0, PAGE]], 6],
    [[[0, PAGE]], 0, 2],
  ];
  const found: unknown[] = [];
  for (const [ranges, index, count] of refused) found.push(await exported(d, ranges, index, count));
  expect(found).toEqual([...Array<string>(6).fill('EINVAL'), 'ENODEV', 'ENODEV', 'EFAULT']);
  const two = (await exported(d, [
    [0, PAGE],
    [2 * PAGE, PAGE],
  ])) as number;
  expect([await map(p, two), await map(p, two, 3 * PAGE), await map(p, d.fd)]).toEqual([
    'EOPNOTSUPP',
    'EINVAL',
    'EINVAL',
  ]);
  expect(await host.afterwards(p)).toEqual(NOTHING);
});
