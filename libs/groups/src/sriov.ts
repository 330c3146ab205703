/**
 * SR-IOV by sysfs: sriov_numvfs of a PF switches all of its VFs on or off. [drivers/pci/iov.c, vfio_pci.c]
 *
 * Rule (I47): VFs are there only while their PF has SR-IOV enabled. Whoever changes that holds the PF's device lock, and then the
 * host's rescan lock.
 */
import { lockRead, lockWrite, unlock, type Op } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import { VFIO_PCI } from './drivers.js';
import type { Device, Host, VirtualFunctions } from './host.js';
import { readBoolean, readNumber } from './parameter-text.js';
import { attachAny, remove } from './probing.js';
import { SRIOV_DRIVERS } from './sriov-drivers.js';
import { planVfs, plug, unplug, vfsOf } from './virtual-functions.js';

const DONE = ok(undefined);
const U16_MAX = 0xffff;

/** `sriov_numvfs`; waits while VFs are being switched. */
export function* showNumVfs(pf: Device, vfs: VirtualFunctions): Op<string> {
  yield* lockRead(pf.lock);
  return `${vfs.count}\n`;
}

/**
 * EINVAL, ERANGE: not a number up to the PF's VFs; ENOENT: no driver that could; EBUSY: VFs must be switched off first; and
 * what switching them on meets. The number that there is already is always right (traces b093, d050).
 */
export function* setNumVfs(host: Host, pf: Device, vfs: VirtualFunctions, data: string): Op<Result<undefined>> {
  const count = readNumber(data);
  if (!count.ok || count.value > U16_MAX) return fail('EINVAL');
  if (count.value > pf.facts.sriov!.totalVfs) return fail('ERANGE');
  yield* lockWrite(pf.lock);
  if (count.value === vfs.count) return DONE;
  if (!switchesVfs(host, pf)) return fail('ENOENT');
  if (count.value === 0) {
    yield* disableVfs(host, pf, vfs);
    return DONE;
  }
  return vfs.count > 0 ? fail('EBUSY') : yield* enableVfs(host, pf, vfs, count.value);
}

/** vfio-pci does it when its module parameter allows it. */
function switchesVfs({ parameters }: Host, { driver }: Device): boolean {
  if (driver === VFIO_PCI) return parameters.isOn('vfio_pci.enable_sriov');
  return driver !== undefined && SRIOV_DRIVERS.has(driver);
}

/** EIO: the capability contradicts itself; ENOMEM: no bus numbers for so many VFs. New VFs are offered to drivers one by one. */
function* enableVfs(host: Host, pf: Device, vfs: VirtualFunctions, count: number): Op<Result<undefined>> {
  const { initialVfs, totalVfs } = pf.facts.sriov!;
  if (initialVfs !== totalVfs) return fail('EIO');
  yield* lockWrite(host.rescan);
  const plan = planVfs(host, pf, count);
  if (!plan) return fail('ENOMEM');
  const made = yield* plug(host, plan);
  vfs.count = count;
  vfs.made = true;
  // A user's PF must not be handed drivers of the host below it: its VFs are for vfio-pci (semantics A3.8).
  if (pf.driver === VFIO_PCI) for (const vf of made) vf.override = VFIO_PCI;
  for (const vf of made) {
    yield* lockWrite(vf.lock);
    yield* attachAny(host, vf);
    yield* unlock(vf.lock);
  }
  yield* unlock(host.rescan);
  return DONE;
}

/** Every VF's driver lets go of it, which waits for its users; then it is gone. */
export function* disableVfs(host: Host, pf: Device, vfs: VirtualFunctions): Op<void> {
  yield* lockWrite(host.rescan);
  for (const vf of vfsOf(host, pf)) {
    yield* lockWrite(vf.lock);
    if (vf.driver !== undefined) yield* remove(host, vf);
    yield* unplug(host, vf);
    yield* unlock(vf.lock);
  }
  for (const [bdf, { vfOf }] of host.removed) if (vfOf === pf.bdf) host.removed.delete(bdf);
  vfs.count = 0;
  vfs.made = true;
  yield* unlock(host.rescan);
}

/** Unbinds a device, which may be a PF whose driver takes its VFs along. The caller has the device's lock. */
export function* release(host: Host, device: Device): Op<void> {
  const { vfs, driver } = device;
  if (vfs && vfs.count > 0 && SRIOV_DRIVERS.get(driver!)?.takesVfsAlong) yield* disableVfs(host, device, vfs);
  yield* remove(host, device);
}

/** `sriov_drivers_autoprobe`. EINVAL: not understood. */
export function setAutoprobe(vfs: VirtualFunctions, data: string): Result<undefined> {
  const value = readBoolean(data);
  if (!value.ok) return value;
  vfs.autoprobe = value.value === 1;
  return DONE;
}
