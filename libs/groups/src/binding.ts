/**
 * What writes to the driver files of sysfs do. [drivers/base/bus.c, drivers/pci/pci-driver.c, pci-sysfs.c]
 *
 * Rule: a check that the kernel makes before it takes the device lock is made before it here too, and again after where
 * the kernel does; so a second unbind of a busy device waits and then answers success, as there. Every function answers
 * whether the write succeeded; how many bytes it took is the caller's (sysfs.ts) to say.
 */
import { lockWrite, type Op } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import { ANY_ID, exactId, idMatches, knowsIds, matches, type DeviceIds, type Driver, type PciId } from './drivers.js';
import { byteLength } from './files-io.js';
import { isHere, type Device, type Host } from './host.js';
import { LIMITS } from './limits.js';
import { attachAny, offer, probe } from './probing.js';
import { release } from './sriov.js';

const DONE = ok(undefined);

/** The device that a write names: its BDF, with or without a newline. */
const named = (host: Host, data: string): Device | undefined => host.devices.get(data.replace(/\n$/, ''));

/** drivers/D/bind. ENODEV: no such device, or no match; EBUSY: it has a driver, or DMA ownership is refused; or the probe's. */
export function* bind(host: Host, driver: Driver, data: string): Op<Result<undefined>> {
  const device = named(host, data);
  if (!device || !matches(driver, device.facts, device.override)) return fail('ENODEV');
  yield* lockWrite(device.lock);
  if (!isHere(host, device)) return fail('ENODEV');
  if (device.driver !== undefined) return fail('EBUSY');
  const outcome = yield* probe(host, device, driver);
  return outcome.bound ? DONE : fail(outcome.errno);
}

/** drivers/D/unbind. ENODEV: the device is not bound to D. Blocks while a vfio device is open. */
export function* unbind(host: Host, driver: Driver, data: string): Op<Result<undefined>> {
  const device = named(host, data);
  if (device?.driver !== driver.name) return fail('ENODEV');
  yield* lockWrite(device.lock);
  if (device.driver === driver.name) yield* release(host, device);
  return DONE;
}

/** drivers_probe. ENODEV: no such device; EINVAL: a driver matches but may not have the group's DMA. */
export function* driversProbe(host: Host, data: string): Op<Result<undefined>> {
  const device = named(host, data);
  if (!device) return fail('ENODEV');
  if (device.driver !== undefined) return DONE;
  yield* lockWrite(device.lock);
  if (!isHere(host, device)) return DONE;
  const attached = yield* attachAny(host, device);
  return attached.ok ? DONE : fail('EINVAL');
}

/** devices/BDF/driver_override: the name up to the first newline; nothing before it clears. EINVAL: no room for it. */
export function* setOverride(device: Device, data: string): Op<Result<undefined>> {
  if (byteLength(data) >= LIMITS.attribute - 1) return fail('EINVAL');
  yield* lockWrite(device.lock);
  const name = data.split('\n', 1)[0]!;
  device.override = name === '' ? undefined : name;
  return DONE;
}

/**
 * drivers/D/new_id: "vendor device [subvendor [subdevice [class [class_mask [driver_data]]]]]", hexadecimal; then the
 * driver is offered every device without driver. EINVAL: fewer than two numbers, or driver data that no id of the driver
 * has; EEXIST: the driver knows such a device already; ENOMEM: too many ids.
 */
export function* newId(host: Host, driver: Driver, data: string): Op<Result<undefined>> {
  const numbers = hexNumbers(data, 7);
  if (numbers.length < 2) return fail('EINVAL');
  const id = idOf(numbers);
  if (numbers.length === 7) {
    if (numbers[6] !== 0) return fail('EINVAL');
  } else if (knowsIds(driver, exampleOf(id))) return fail('EEXIST');
  if (driver.dynamicIds.length >= LIMITS.dynamicIds) return fail('ENOMEM');
  driver.dynamicIds.push(id);
  for (const device of host.devices.values()) yield* offer(host, device, driver);
  return DONE;
}

/** drivers/D/remove_id: forgets the first dynamic id of these numbers; bound devices stay. EINVAL, ENODEV. */
export function removeId(driver: Driver, data: string): Result<undefined> {
  const numbers = hexNumbers(data, 6);
  if (numbers.length < 2) return fail('EINVAL');
  const wanted = idOf(numbers);
  const at = driver.dynamicIds.findIndex((id) => idMatches(wanted, id));
  if (at < 0) return fail('ENODEV');
  driver.dynamicIds.splice(at, 1);
  return DONE;
}

function idOf(numbers: readonly number[]): PciId {
  const [vendor = 0, device = 0, subvendor = ANY_ID, subdevice = ANY_ID, classCode = 0, classMask = 0] = numbers;
  return { ...exactId(vendor, device), subvendor, subdevice, class: classCode, classMask };
}

/** The device that new_id looks for among the known ids: device fields are 16 bits wide. */
const exampleOf = (id: PciId): DeviceIds => ({
  vendor: id.vendor & 0xffff,
  device: id.device & 0xffff,
  subvendor: id.subvendor & 0xffff,
  subdevice: id.subdevice & 0xffff,
  class: id.class,
});

/** Leading hexadecimal numbers, each 32 bits wide (more digits keep the low ones), at most `most`. */
function hexNumbers(text: string, most: number): number[] {
  const numbers: number[] = [];
  const next = /\s*(?:0[xX])?([0-9a-fA-F]+)/y;
  while (numbers.length < most) {
    const match = next.exec(text);
    if (!match) break;
    numbers.push(Number.parseInt(match[1]!.slice(-8), 16));
  }
  return numbers;
}
