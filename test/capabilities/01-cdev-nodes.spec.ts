/** Capability 1: one node per device below /dev/vfio/devices, which gives nothing before BIND (semantics A3.2, trace b010). */
import { deviceIoctls, VFIO_DEVICE_BIND_IOMMUFD, VFIO_DEVICE_RESET } from '@vfiolab/uapi';
import { BDFS, CONFIG, Host, NOTHING, type Program } from './support/passthrough.js';

const UNKNOWN = 0x3bff;
const gated = Object.values(deviceIoctls)
  .map(({ nr }) => nr)
  .filter((nr) => nr !== VFIO_DEVICE_BIND_IOMMUFD.nr);

async function refused(p: Program, fd: number): Promise<unknown[]> {
  const answers: unknown[] = [];
  for (const nr of [...gated, UNKNOWN]) answers.push((await p.host.run(p.process.ioctlAt(fd, nr, 0, []))).errno);
  for (const offset of [0, CONFIG]) {
    answers.push(await p.attempt(p.process.pread(fd, offset, 4)));
    answers.push(await p.attempt(p.process.pwrite(fd, offset, new Uint8Array(4))));
  }
  return [...answers, await p.attempt(p.process.mapDevice(fd, 0, 4096))];
}

it('1: open ok; every ioctl except BIND and all reads/mmaps give EINVAL before BIND', async () => {
  const host = await Host.boot();
  const p = await host.program('vmm');
  const fd = await p.open(BDFS[0]);
  expect(gated).toContain(VFIO_DEVICE_RESET.nr);
  expect(await refused(p, fd)).toEqual(Array(gated.length + 6).fill('EINVAL'));
  // A BIND that fails leaves the file as it was, and usable.
  expect(await p.errno(fd, VFIO_DEVICE_BIND_IOMMUFD, { argsz: 16, iommufd: 99 })).toBe('EBADF');
  expect(new Set(await refused(p, fd))).toEqual(new Set(['EINVAL']));
  expect(await p.errno(fd, VFIO_DEVICE_BIND_IOMMUFD, { argsz: 16, iommufd: p.iommufd })).toBeUndefined();
  expect(await p.attempt(p.process.pread(fd, CONFIG, 4))).toEqual(Uint8Array.of(0x34, 0x12, 0xe8, 0x11));
  expect(await host.afterwards(p)).toEqual(NOTHING);
});

it('1: each device has a node of its own, that opens any number of times; one open of it has access', async () => {
  const host = await Host.boot();
  const p = await host.program('vmm');
  const nodes = await p.must(p.process.listdir('/dev/vfio/devices'));
  expect(nodes).toHaveLength(BDFS.length);
  const stats = await Promise.all(nodes.map((node) => p.must(p.process.stat(`/dev/vfio/devices/${node}`))));
  expect(new Set(stats.map(({ kind, major, minor }) => `${kind} ${major}:${minor}`)).size).toBe(BDFS.length);
  const [first, second] = [await p.open(BDFS[0]), await p.open(BDFS[0])];
  const bind = (fd: number) => p.errno(fd, VFIO_DEVICE_BIND_IOMMUFD, { argsz: 16, iommufd: p.iommufd });
  expect([await bind(first), await bind(second)]).toEqual([undefined, 'EINVAL']);
  expect(new Set(await refused(p, second))).toEqual(new Set(['EINVAL']));
  expect(await host.afterwards(p)).toEqual(NOTHING);
});
