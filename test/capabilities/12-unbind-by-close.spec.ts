/** Capability 12: there is no ioctl that unbinds; the last close of the file does. */
import { CARD, CardHost } from './support/card-group.js';
import { FUNCTIONS, Lab, NOTHING } from './support/lab.js';

const [, , FIRST, SIBLING] = FUNCTIONS;

it('12: close(device) releases ownership; sibling driver can bind', async () => {
  const b = await CardHost.boot();
  await b.write('drivers/e1000e/unbind', CARD);
  const [device, again] = [await b.open(), await b.open()];
  expect(await b.bind(device)).toBe('bound');
  expect(await b.write('drivers/e1000e/bind', CARD)).toBe('EBUSY');
  await b.close(device);
  expect(await b.write('drivers/e1000e/bind', CARD)).toBe(CARD.length);
  expect(await b.bind(again)).toBe('EPERM');
  await b.write('drivers/e1000e/unbind', CARD);
  expect(await b.bind(again)).toBe('bound');
  expect(b.host.broken()).toEqual([]);
});

it('12: a copy of the fd keeps the device bound, in whoever’s hands it is', async () => {
  const lab = await Lab.real();
  const [p, q, rival] = [await lab.program('vmm'), await lab.program('helper'), await lab.program('rival')];
  const device = await p.device(FIRST);
  const passed = await p.send(device.fd, q);
  const copy = p.process.dup(device.fd);
  await p.close(device.fd);
  await expect(rival.device(FIRST)).rejects.toThrow('EINVAL');
  if (copy.ok) await p.close(copy.value);
  await expect(rival.device(SIBLING)).rejects.toThrow('EPERM');
  await q.close(passed);
  await rival.device(SIBLING);
  expect(await lab.afterwards(p, q, rival)).toEqual(NOTHING);
});
