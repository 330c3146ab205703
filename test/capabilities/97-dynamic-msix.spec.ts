import { VFIO_DEVICE_GET_IRQ_INFO, VFIO_DEVICE_SET_IRQS } from '@vfiolab/uapi';
import { type Device, Host, NOTHING } from './support/passthrough.js';

const MSIX = 2;
const NORESIZE = 8;
const loopback = (d: Device, start: number) =>
  d.p.errno(d.fd, VFIO_DEVICE_SET_IRQS, { argsz: 20, flags: 0x21, index: MSIX, start, count: 1 });

it('97: MSI-X vectors are added while others are in use', async () => {
  const host = await Host.boot();
  const p = await host.program('vmm');
  const d = await p.device();
  const { flags, count } = await p.ioctl(d.fd, VFIO_DEVICE_GET_IRQ_INFO, { argsz: 16, index: MSIX });
  expect([flags & NORESIZE, count]).toEqual([0, 8]);
  const [first, later] = [await p.eventfd(), await p.eventfd()];
  expect(await d.setIrqs(MSIX, 0, [first, first, first])).toBeUndefined();
  expect(await d.setIrqs(MSIX, 5, [later])).toBeUndefined();
  for (const vector of [0, 2, 5]) expect(await loopback(d, vector)).toBeUndefined();
  expect([await p.count(first), await p.count(later)]).toEqual([2, 1]);
  expect(await d.setIrqs(MSIX, 8, [later])).toBe('EINVAL');
  expect(await host.afterwards(p)).toEqual(NOTHING);
});
