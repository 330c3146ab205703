/** Capability 4: a group is not shared between ordinary drivers and vfio's users; some drivers do not count (semantics A2.1, A2.2). */
import { CARD, CardHost, PORT } from './support/card-group.js';

it('4: sibling on ordinary driver: BIND EPERM; after BIND the sibling’s driver probe gets EBUSY', async () => {
  const b = await CardHost.boot();
  const device = await b.open();
  expect([await b.driver(PORT), await b.driver(CARD)]).toEqual(['pcieport', 'e1000e']);
  expect(await b.bind(device)).toBe('EPERM');
  await b.write('drivers/e1000e/unbind', CARD);
  expect(await b.bind(device)).toBe('bound');
  expect(await b.write('drivers/e1000e/bind', CARD)).toBe('EBUSY');
  expect(await b.write('drivers_probe', CARD)).toBe('EINVAL');
  expect(await b.driver(CARD)).toBe('ENOENT');
  expect(b.host.broken()).toEqual([]);
});

it('4: pcieport/pci-stub siblings do not matter', async () => {
  const b = await CardHost.boot();
  await b.write('drivers/e1000e/unbind', CARD);
  await b.write(`devices/${CARD}/driver_override`, 'pci-stub');
  expect(await b.write('drivers_probe', CARD)).toBe(CARD.length);
  expect([await b.driver(CARD), await b.bind(await b.open())]).toEqual(['pci-stub', 'bound']);
  // And they come and go while the group is a user's.
  for (const [driver, bdf] of [
    ['pci-stub', CARD],
    ['pcieport', PORT],
  ] as const) {
    expect(await b.write(`drivers/${driver}/unbind`, bdf)).toBe(bdf.length);
    expect(await b.write(`drivers/${driver}/bind`, bdf)).toBe(bdf.length);
  }
  expect(b.host.broken()).toEqual([]);
});
