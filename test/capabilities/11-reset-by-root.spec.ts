/** Capability 11: resets of one function: by its user, and by root through sysfs, which may also forbid them. */
import { VFIO_DEVICE_FLAGS_RESET, VFIO_DEVICE_GET_INFO, VFIO_DEVICE_RESET } from '@vfiolab/uapi';
import { TestHost } from '@vfiolab/sim';
import { type Device, Passthrough, RICH } from './support/iommu-host.js';

const at = (name: string) => `/sys/bus/pci/devices/${RICH}/${name}`;
/** A register of the engine that a reset clears. */
const SOURCE = 0x80;

async function ready() {
  const b = await Passthrough.boot({ iommu: 'intel-vtd' });
  const device = await b.device();
  const write = async (name: string, data: string) => {
    const done = await b.host.run(b.p.sysfsWrite(at(name), data));
    return done.ok ? done.value : done.errno;
  };
  const methods = () => b.must(b.p.sysfsRead(at('reset_method')));
  const reset = async ({ fd }: Device) => (await b.host.run(b.p.ioctlPlain(fd, VFIO_DEVICE_RESET))).errno;
  const works = async ({ fd }: Device) =>
    ((await b.sure(VFIO_DEVICE_GET_INFO, {}, fd)).flags & VFIO_DEVICE_FLAGS_RESET) > 0;
  const set = () => b.must(b.p.pwrite(device.fd, SOURCE, new Uint8Array(8).fill(0x11)));
  const isSet = async () => (await b.must(b.p.pread(device.fd, SOURCE, 8)))[0] === 0x11;
  return { b, device, write, methods, reset, works, set, isSet };
}

it('11: the user resets, and so does root', async () => {
  const { b, device, write, reset, set, isSet } = await ready();
  await set();
  expect([await isSet(), await reset(device), await isSet()]).toEqual([true, undefined, false]);
  await set();
  expect([await write('reset', '1\n'), await isSet()]).toEqual([2, false]);
  for (const wrong of ['0', '2', 'x', '-1']) expect(await write('reset', wrong)).toBe('EINVAL');
  const nobody = await b.host.process('nobody', { uid: 1000, caps: 0, memlock: 4096 });
  expect(await b.host.run(nobody.sysfsWrite(at('reset'), '1'))).toMatchObject({ errno: 'EACCES' });
  expect(b.broken()).toEqual([]);
});

it('11: a function that cannot be reset has neither file', async () => {
  const functions = [{ bdf: RICH, vendor: '0x1234', device: '0x11e8', class: '0x00ff00', header_type: 0 }];
  const machine = JSON.stringify({ format: 'pci-topology-fixture/1', id: 'bare', functions });
  const host = await TestHost.boot({ machine });
  const p = await host.process('root');
  for (const name of ['reset', 'reset_method'])
    expect(await host.run(p.sysfsWrite(at(name), '1'))).toMatchObject({ errno: 'ENOENT' });
});

it('11: methods are chosen by name, one that the function does not have is EINVAL', async () => {
  const { write, methods } = await ready();
  const all = await methods();
  expect(all).toBe('flr\n');
  for (const wrong of ['bus', 'flr bus', 'acpi', 'flrr', 'flr,flr', Array(8).fill('flr').join(' ')])
    expect([wrong, await write('reset_method', wrong)]).toEqual([wrong, 'EINVAL']);
  expect(await methods()).toBe(all);
  expect([await write('reset_method', ' flr \n'), await methods()]).toEqual([6, 'flr\n']);
  expect([await write('reset_method', '\n'), await methods()]).toEqual([1, '']);
  expect([await write('reset_method', 'default'), await methods()]).toEqual([7, all]);
});

it('11: without a method nobody resets; what was so when the function was opened decides what its user hears', async () => {
  const { b, device, write, reset, works, set, isSet } = await ready();
  await set();
  expect(await write('reset_method', '\n')).toBe(1);
  expect([await write('reset', '1'), await reset(device), await works(device)]).toEqual(['ENOTTY', 'ENOTTY', true]);
  expect(await isSet()).toBe(true);
  await b.must(b.p.close(device.fd));
  const again = await b.device();
  expect([await works(again), await reset(again)]).toEqual([false, 'EINVAL']);
  for (const service of ['groups', 'device:0000:00:03_0']) b.host.host.crash(service, 5);
  expect(await write('reset_method', 'default')).toBe(7);
  expect([await works(again), await reset(again)]).toEqual([false, 'EINVAL']);
  await b.must(b.p.close(again.fd));
  const last = await b.device();
  expect([await works(last), await reset(last)]).toEqual([true, undefined]);
  expect(b.broken()).toEqual([]);
});

it('11: the choice outlives the driver', async () => {
  const { b, device, write, works } = await ready();
  expect([await works(device), await write('reset_method', '\n')]).toEqual([true, 1]);
  await b.must(b.p.close(device.fd));
  for (const name of ['unbind', 'bind']) await b.must(b.p.sysfsWrite(`/sys/bus/pci/drivers/vfio-pci/${name}`, RICH));
  expect(await works(await b.device())).toBe(false);
});
