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
import { type Device, type Host, isHere } from './host.js';
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
function* takeOff(host: Host, device: Device): Op<void> {
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
  yield* lockWrite(host.rescan);
  const found = comingBack(host, at);
  const made = yield* plug(host, planFunctions(host, found));
  for (const { bdf } of found) host.removed.delete(bdf);
  for (const device of made) {
    if (device.vfs) device.vfs.made = true;
    yield* lockWrite(device.lock);
    if (isHere(host, device)) yield* attachAny(host, device);
    yield* unlock(device.lock);
  }
  yield* unlock(host.rescan);
  return DONE;
}

/** Removed functions in address order; VFs answer to no scan. Bridges are found before what is below them. */
function comingBack({ removed, topology }: Host, at: Device | undefined): PciFunction[] {
  const found: PciFunction[] = [];
  const inOrder = [...removed.values()].filter(({ isVf }) => !isVf).sort((a, b) => (a.bdf < b.bdf ? -1 : 1));
  for (const f of inOrder) {
    const now = topology.plug([...found, f]);
    const above = now.bridgesAbove(f);
    const reached = !at || [f, ...above].some(({ domain, bus }) => domain === at.facts.domain && bus === at.facts.bus);
    if (reached) found.push(f.sriov ? { ...f, sriov: { ...f.sriov, numVfs: 0 } } : f);
  }
  return found;
}
