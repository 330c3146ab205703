import { deviceAddress } from '@vfiolab/core';
import { VFIO_DEVICE_SET_IRQS } from '@vfiolab/uapi';
import { BDFS, type Device, Host, NOTHING } from './support/passthrough.js';

const [ERR, REQ] = [3, 4];
const fire = (d: Device, index: number) =>
  d.p.errno(d.fd, VFIO_DEVICE_SET_IRQS, { argsz: 20, flags: 0x21, index, start: 0, count: 1 });

it('99: the ERR eventfd hears of errors, next to whatever interrupts are on', async () => {
  const host = await Host.boot();
  const p = await host.program('vmm');
  const d = await p.device();
  const [err, msix] = [await p.eventfd(), await p.eventfd()];
  expect(await fire(d, ERR)).toBe('EINVAL');
  expect(await d.setIrqs(2, 0, [msix])).toBeUndefined();
  expect(await d.setIrqs(ERR, 0, [err])).toBeUndefined();
  expect(await fire(d, ERR)).toBeUndefined();
  expect([await p.count(err), await p.count(msix)]).toEqual([1, 0]);
  expect(await d.setIrqs(ERR, 0, [-1])).toBeUndefined();
  expect(await fire(d, ERR)).toBe('EINVAL');
  expect(await host.afterwards(p)).toEqual(NOTHING);
});

it('99: unbinding the driver asks by the REQ eventfd every 10 seconds and waits for the close', async () => {
  const host = await Host.boot();
  const [p, admin] = [await host.program('vmm'), await host.program('admin')];
  const d = await p.device();
  const req = await p.eventfd();
  expect(await d.setIrqs(REQ, 0, [req])).toBeUndefined();
  let unbound: unknown;
  void admin.process
    .sysfsWrite('/sys/bus/pci/drivers/vfio-pci/unbind', BDFS[0])
    .then((done) => (unbound = done.ok ? done.value : done.errno));
  await p.host.run(p.process.link.ports.sleep(1000));
  expect([await p.count(req), unbound]).toEqual([1, undefined]);
  await p.host.run(p.process.link.ports.sleep(9500));
  expect([await p.count(req), unbound]).toEqual([1, undefined]);
  // Dead when its time came: it asks when it is back.
  p.host.host.crash(deviceAddress(BDFS[0]), 9_000);
  await p.host.run(p.process.link.ports.sleep(9_600));
  expect([await p.count(req), unbound]).toEqual([1, undefined]);
  await p.must(p.process.close(d.fd));
  await p.host.run(p.process.link.ports.sleep(100));
  expect(unbound).toBe(BDFS[0].length);
  expect(await p.attempt(p.process.listdir(`/sys/bus/pci/devices/${BDFS[0]}/vfio-dev`))).toBe('ENOENT');
  expect(await host.afterwards(p)).toEqual(NOTHING);
});
