import { REG_DMA_SOURCE, REG_LIVENESS } from '@vfiolab/devices';
import { VFIO_DEVICE_IOEVENTFD } from '@vfiolab/uapi';
import { BAR_SIZE, CONFIG, type Device, Host, NOTHING } from './support/passthrough.js';

const TABLE = BAR_SIZE - 8192;
const ioeventfd = (d: Device, flags: number, offset: number, data: bigint, fd: number) =>
  d.p.errno(d.fd, VFIO_DEVICE_IOEVENTFD, { argsz: 32, flags, offset: BigInt(offset), data, fd });

it('96: a write to the eventfd writes to the register', async () => {
  const host = await Host.boot({ profile: '6.12' });
  const p = await host.program('vmm');
  const d = await p.device();
  const fd = await p.eventfd();
  expect(await ioeventfd(d, 4, REG_LIVENESS, 0x1234n, fd)).toBeUndefined();
  expect(await ioeventfd(d, 8, REG_DMA_SOURCE, 2n ** 40n, fd)).toBeUndefined();
  await p.must(p.process.eventWrite(fd, 3n));
  expect([await d.read(REG_LIVENESS), await d.read(REG_DMA_SOURCE, 8)]).toEqual([0xffffedcbn, 2n ** 40n]);
  expect(await p.count(fd)).toBe(0);
  // While memory decoding is off the write is lost.
  await d.write(REG_LIVENESS, 0n);
  await d.command(4);
  await p.must(p.process.eventWrite(fd, 1n));
  await d.command(6);
  expect(await d.read(REG_LIVENESS)).toBe(0xffffffffn);
  expect(await ioeventfd(d, 4, REG_LIVENESS, 0x1234n, -1)).toBeUndefined();
  expect(await ioeventfd(d, 8, REG_DMA_SOURCE, 2n ** 40n, -1)).toBeUndefined();
  await p.must(p.process.eventWrite(fd, 1n));
  expect([await d.read(REG_LIVENESS), await p.count(fd)]).toEqual([0xffffffffn, 1]);
  expect(await host.afterwards(p)).toEqual(NOTHING);
});

it('96: places are judged, the MSI-X table is none, and a match is there once', async () => {
  const host = await Host.boot();
  const p = await host.program('vmm');
  const d = await p.device();
  const fd = await p.eventfd();
  const refused = [
    await ioeventfd(d, 4, TABLE, 0n, fd),
    await ioeventfd(d, 4, TABLE + 8 * 16 - 1, 0n, fd),
    await ioeventfd(d, 4, BAR_SIZE - 3, 0n, fd),
    await ioeventfd(d, 4, CONFIG, 0n, fd),
    await ioeventfd(d, 3, 8, 0n, fd),
    await ioeventfd(d, 8, 8, 0n, fd),
    await ioeventfd(d, 4, 8, 0n, -2),
    await ioeventfd(d, 4, 8, 0n, d.fd),
  ];
  expect(refused).toEqual(refused.map(() => 'EINVAL'));
  expect([await ioeventfd(d, 4, 8, 0n, -1), await ioeventfd(d, 4, 8, 0n, 99)]).toEqual(['ENODEV', 'EBADF']);
  expect([await ioeventfd(d, 4, TABLE - 4, 0n, fd), await ioeventfd(d, 4, TABLE + 8 * 16, 0n, fd)]).toEqual([
    undefined,
    undefined,
  ]);
  expect([await ioeventfd(d, 4, TABLE - 4, 0n, fd), await ioeventfd(d, 4, TABLE - 4, 1n, fd)]).toEqual([
    'EEXIST',
    undefined,
  ]);
  expect(await host.afterwards(p)).toEqual(NOTHING);
});

it('96: a function has 1000 ioeventfds and no more', async () => {
  const host = await Host.boot();
  const p = await host.program('vmm');
  const d = await p.device();
  const fd = await p.eventfd();
  for (let i = 0; i < 1000; i++) expect(await ioeventfd(d, 4, 0x100, BigInt(i), fd)).toBeUndefined();
  expect(await ioeventfd(d, 4, 0x100, 1000n, fd)).toBe('ENOSPC');
  expect(await ioeventfd(d, 4, 0x100, 0n, -1)).toBeUndefined();
  expect(await ioeventfd(d, 4, 0x100, 1000n, fd)).toBeUndefined();
  expect(await host.afterwards(p)).toEqual(NOTHING);
}, 60_000);
