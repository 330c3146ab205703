/** Capability 108: hot resets through cdevs, where the iommufd says what belongs to the caller (semantics D6.3). */
import { VFIO_DEVICE_BIND_IOMMUFD, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, VFIO_DEVICE_PCI_HOT_RESET } from '@vfiolab/uapi';
import { BRIDGED, boot, devicesOf, PAIR, register } from './support/shared-bus.js';
import type { VfioProgram } from './support/container-lab.js';

const NOT_OWNED = 0xffffffff;

async function cdev(p: VfioProgram, bdf: string, iommufd: number): Promise<{ fd: number; id: number }> {
  const [minor] = await p.must(p.process.listdir(`/sys/bus/pci/devices/${bdf}/vfio-dev`));
  const fd = await p.must(p.process.open(`/dev/vfio/devices/${minor}`));
  const { errno, out } = await p.ioctl(fd, VFIO_DEVICE_BIND_IOMMUFD, { argsz: 16, iommufd });
  if (errno) throw new Error(`BIND: ${errno}`);
  await p.command(fd, 6);
  return { fd, id: out.out_devid };
}

const infoOf = async (p: VfioProgram, fd: number) => {
  const { flags, words } = devicesOf(await p.ioctl(fd, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, {}, { room: 64 }));
  return { flags, words };
};
const reset = async (p: VfioProgram, fd: number, fds: readonly number[] = []) => {
  const tail = new Uint8Array(Int32Array.from(fds).buffer);
  return (await p.ioctl(fd, VFIO_DEVICE_PCI_HOT_RESET, { count: fds.length }, { tail })).errno;
};

it('108: nothing is reset before the iommufd has every function; then an empty array resets all', async () => {
  const lab = await boot();
  const p = await lab.program('vmm');
  const [iommufd, foreign] = [await p.must(p.process.open('/dev/iommu')), await p.must(p.process.open('/dev/iommu'))];
  const first = await cdev(p, PAIR[0], iommufd);
  await register(p, first.fd, 0x1234n);
  expect(await infoOf(p, first.fd)).toEqual({ flags: 1, words: [first.id, NOT_OWNED] });
  expect(await reset(p, first.fd)).toBe('EINVAL');
  const elsewhere = await cdev(p, PAIR[1], foreign);
  expect(await infoOf(p, first.fd)).toEqual({ flags: 1, words: [first.id, NOT_OWNED] });
  expect(await infoOf(p, elsewhere.fd)).toEqual({ flags: 1, words: [NOT_OWNED, elsewhere.id] });
  expect([await reset(p, first.fd), await register(p, first.fd)]).toEqual(['EINVAL', 0x1234n]);
  await p.close(elsewhere.fd);
  const second = await cdev(p, PAIR[1], iommufd);
  await register(p, second.fd, 0x5678n);
  expect(await infoOf(p, second.fd)).toEqual({ flags: 3, words: [first.id, second.id] });
  expect([await reset(p, second.fd, [iommufd]), await reset(p, second.fd)]).toEqual(['EINVAL', undefined]);
  expect([await register(p, first.fd), await register(p, second.fd)]).toEqual([0n, 0n]);
  expect(await lab.afterwards(p)).toEqual({ broken: [], held: {} });
});

it('108: what nobody has open is owned through its group', async () => {
  const lab = await boot();
  const p = await lab.program('vmm');
  const iommufd = await p.must(p.process.open('/dev/iommu'));
  const { fd, id } = await cdev(p, BRIDGED[1], iommufd);
  expect(await infoOf(p, fd)).toEqual({ flags: 3, words: [0, id] });
  await register(p, fd, 1n);
  expect([await reset(p, fd), await register(p, fd)]).toEqual([undefined, 0n]);
  expect(await lab.afterwards(p)).toEqual({ broken: [], held: {} });
});

it('108: two owners of one bus at the same time: each reset is whole, and nothing waits forever', async () => {
  const lab = await boot();
  const p = await lab.program('vmm');
  const iommufd = await p.must(p.process.open('/dev/iommu'));
  const [first, second] = [await cdev(p, PAIR[0], iommufd), await cdev(p, PAIR[1], iommufd)];
  const both = [first, second].map(({ fd }) => p.process.ioctl(fd, VFIO_DEVICE_PCI_HOT_RESET, {}));
  expect((await p.run(Promise.all(both))).map(({ errno }) => errno)).toEqual([undefined, undefined]);
  expect(await lab.afterwards(p)).toEqual({ broken: [], held: {} });
});
