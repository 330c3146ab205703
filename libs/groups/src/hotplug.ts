/**
 * `remove` and `rescan` of sysfs: functions leave the bus, and are found on it again. [drivers/pci/pci-sysfs.c, remove.c, probe.c]
 *
 * Words: a function that was *removed* is still in its slot.
 * Rule: a function goes after all that are below it, and each after its driver, which waits for its users. It comes back as after
 * boot: without driver_override, VFs or mode bits of files, and with whatever group it is given then.
 */
import { lockWrite, type Op, unlock } from '@vfiolab/core';
import type { PciFunction } from '@vfiolab/pci';
import { fail, ok, type Result } from '@vfiolab/uapi';
import { behindDownLinks, type Device, type Host, isHere } from './host.js';
import { readNumber } from './parameter-text.js';
import { attachAny } from './probing.js';
import { disableVfs, release } from './sriov.js';
import { planFunctions, plug, unplug } from './virtual-functions.js';

const DONE = ok(undefined);

/** EINVAL: not a number; 0 does nothing. */
export function* removeFunction(host: Host, device: Device, data: string): Op<Result<undefined>> {
  const value = readNumber(data);
  if (!value.ok) return fail('EINVAL');
  if (value.value === 0) return DONE;
  const { topology } = host;
  const below = topology.functions.filter((f) => topology.bridgesAbove(f).some(({ bdf }) => bdf === device.bdf));
  for (const { bdf } of below.reverse()) {
    const each = host.devices.get(bdf);
    if (each) yield* takeOff(host, each);
  }
  yield* takeOff(host, device);
  return DONE;
}

/** A PF's lock comes before the rescan lock, and that before a VF's: see host.ts. */
export function* takeOff(host: Host, device: Device): Op<void> {
  if (device.facts.isVf) yield* lockWrite(host.rescan);
  yield* lockWrite(device.lock);
  if (isHere(host, device)) {
    if (device.driver !== undefined) yield* release(host, device);
    if (device.vfs && device.vfs.count > 0) yield* disableVfs(host, device, device.vfs);
    if (!device.facts.isVf) yield* lockWrite(host.rescan);
    host.removed.set(device.bdf, device.facts);
    yield* unplug(host, device);
    if (!device.facts.isVf) yield* unlock(host.rescan);
  }
  yield* unlock(device.lock);
  if (device.facts.isVf) yield* unlock(host.rescan);
}

/** Looks for functions on all buses, or on the bus of one and below it. EINVAL: not a number; 0 does nothing. */
export function* rescan(host: Host, data: string, at?: Device): Op<Result<undefined>> {
  const value = readNumber(data);
  if (!value.ok) return fail('EINVAL');
  if (value.value === 0) return DONE;
  yield* findBelow(host, (f, above) => !at || [f, ...above].some(({ domain, bus }) => isOn(at, domain, bus)));
  return DONE;
}

const isOn = ({ facts }: Device, domain: number, bus: number): boolean => facts.domain === domain && facts.bus === bus;

/** Is the function, which is below the bridges `above`, where somebody looks? */
type Looks = (f: PciFunction, above: readonly PciFunction[]) => boolean;

/** Looks for functions that were taken off the bus. */
export function* findBelow(host: Host, looks: Looks): Op<void> {
  yield* lockWrite(host.rescan);
  const found = comingBack(host, looks);
  const made = yield* plug(host, planFunctions(host, found));
  for (const { bdf } of found) host.removed.delete(bdf);
  for (const device of made) {
    if (device.vfs) device.vfs.made = true;
    yield* lockWrite(device.lock);
    if (isHere(host, device)) yield* attachAny(host, device);
    yield* unlock(device.lock);
  }
  yield* unlock(host.rescan);
}

/** Removed functions in address order; VFs answer to no scan. Bridges are found before what is below them. */
function comingBack(host: Host, looks: Looks): PciFunction[] {
  const { removed, topology } = host;
  const found: PciFunction[] = [];
  const silent = behindDownLinks(host);
  const inOrder = [...removed.values()].filter(({ isVf }) => !isVf).sort((a, b) => (a.bdf < b.bdf ? -1 : 1));
  for (const f of inOrder) {
    const now = topology.plug([...found, f]);
    if (!silent.has(f.bdf) && looks(f, now.bridgesAbove(f)))
      found.push(f.sriov ? { ...f, sriov: { ...f.sriov, numVfs: 0 } } : f);
  }
  return found;
}
