import { IDENTIFICATION, REG_LIVENESS } from '@vfiolab/devices';
import { VFIO_DEVICE_GET_REGION_INFO } from '@vfiolab/uapi';
import { BAR_SIZE, CONFIG, type Device, Host, IO_BAR, region } from './support/passthrough.js';

const MMAP = 4;

const info = async (d: Device, index: number) => {
  const { flags, size, offset } = await d.p.ioctl(d.fd, VFIO_DEVICE_GET_REGION_INFO, { argsz: 32, index });
  return { mappable: (flags & MMAP) !== 0, size: Number(size), offset: Number(offset) };
};

it('77: a memory BAR can be mapped and shows live registers', async () => {
  const host = await Host.boot();
  const p = await host.program('vmm');
  const d = await p.device();
  expect(await info(d, 0)).toEqual({ mappable: true, size: BAR_SIZE, offset: 0 });
  const va = await p.must(p.process.mapDevice(d.fd, 0, BAR_SIZE));
  expect(await p.must(p.process.load(va, 4))).toEqual(new Uint8Array(Uint32Array.of(IDENTIFICATION).buffer));
  await p.must(p.process.store(va + REG_LIVENESS, 4, Uint8Array.of(1, 0, 0, 0)));
  expect(await d.read(REG_LIVENESS)).toBe(0xfffffffen);
  await d.command(0);
  expect(await p.attempt(p.process.load(va, 4))).toBe('EIO');
  expect(await p.attempt(p.process.pread(d.fd, 0, 4))).toBe('EIO');
  await d.command(2);
  expect(await p.must(p.process.load(va + REG_LIVENESS, 4))).toEqual(Uint8Array.of(0xfe, 0xff, 0xff, 0xff));
});

it('77: an I/O BAR and config space are read and written, and cannot be mapped', async () => {
  const host = await Host.boot();
  const p = await host.program('vmm');
  const d = await p.device();
  expect(await info(d, IO_BAR)).toEqual({ mappable: false, size: 32, offset: region(IO_BAR) });
  expect(await info(d, 7)).toEqual({ mappable: false, size: 4096, offset: CONFIG });
  for (const index of [IO_BAR, 6, 7])
    expect(await p.attempt(p.process.mapDevice(d.fd, region(index), 4096))).toBe('EINVAL');
  expect((await p.must(p.process.pread(d.fd, region(IO_BAR), 64))).length).toBe(32);
  expect(await p.must(p.process.pwrite(d.fd, region(IO_BAR) + 30, new Uint8Array(4)))).toBe(2);
  expect(await p.attempt(p.process.pread(d.fd, region(IO_BAR) + 32, 1))).toBe('EINVAL');
});
