import { REG_ID } from '@vfiolab/devices';
import * as uapi from '@vfiolab/uapi';
import { type Device, Host, NOTHING } from './support/passthrough.js';

const set = (feature: number): number => uapi.VFIO_DEVICE_FEATURE_SET | feature;
const ENTRY = set(uapi.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY);
const WITH_WAKEUP = set(uapi.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP);
const EXIT = set(uapi.VFIO_DEVICE_FEATURE_LOW_POWER_EXIT);

const withWakeup = async (d: Device, wakeup_eventfd: number) =>
  (await d.featureWith(WITH_WAKEUP, uapi.vfio_device_low_power_entry_with_wakeup, { wakeup_eventfd })).errno;

it('93: in low power mapped windows are SIGBUS, and calls on the file work', async () => {
  const host = await Host.boot({ profile: '6.12' });
  const p = await host.program('vmm');
  const d = await p.device();
  const va = await p.must(p.process.mapDevice(d.fd, 0, 4096));
  expect((await d.feature(EXIT)).errno).toBeUndefined();
  expect((await d.feature(ENTRY)).errno).toBeUndefined();
  expect((await d.feature(ENTRY)).errno).toBe('EINVAL');
  expect(await p.attempt(p.process.load(va + REG_ID, 4))).toBe('EIO');
  expect(await p.attempt(p.process.store(va + REG_ID, 4, new Uint8Array(4)))).toBe('EIO');
  expect(await d.read(REG_ID)).toBe(0x010000edn);
  expect(await p.attempt(p.process.load(va + REG_ID, 4))).toBe('EIO');
  expect((await d.feature(EXIT)).errno).toBeUndefined();
  expect((await p.must(p.process.load(va + REG_ID, 4)))[0]).toBe(0xed);
  await p.must(p.process.munmap(va, 4096));
  expect(await host.afterwards(p)).toEqual(NOTHING);
});

it('93: with a wake-up eventfd the first call wakes for good and tells', async () => {
  const host = await Host.boot({ profile: '6.12' });
  const p = await host.program('vmm');
  const d = await p.device();
  const wake = await p.eventfd();
  const va = await p.must(p.process.mapDevice(d.fd, 0, 4096));
  expect([await withWakeup(d, -1), await withWakeup(d, 99), await withWakeup(d, d.fd)]).toEqual([
    'EINVAL',
    'EBADF',
    'EINVAL',
  ]);
  expect(await withWakeup(d, wake)).toBeUndefined();
  expect(await p.attempt(p.process.load(va + REG_ID, 4))).toBe('EIO');
  expect(await p.count(wake)).toBe(0);
  expect(await d.read(REG_ID)).toBe(0x010000edn);
  expect(await p.count(wake)).toBe(1);
  expect((await p.must(p.process.load(va + REG_ID, 4)))[0]).toBe(0xed);
  await d.read(REG_ID);
  expect(await p.count(wake)).toBe(0);
  // A wake-up eventfd that is never used is given back with the last close.
  expect(await withWakeup(d, wake)).toBeUndefined();
  expect(await host.afterwards(p)).toEqual(NOTHING);
});
