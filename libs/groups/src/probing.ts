/**
 * Probe and remove: one driver meets one device. [drivers/base/dd.c, pci-driver.c, vfio_pci_core.c]
 *
 * Words: a probe is refused by the *core* when DMA ownership is refused before the driver runs, or by the *driver*; the
 * kernel reports the two differently to drivers_probe.
 * Rule: everything here runs under the device's lock (`offer` takes it, the others need it), so a probe and a remove of
 * one device never meet.
 */
import { call, deviceAddress, deviceApi, faultOf, lockWrite, unlock, type Op } from '@vfiolab/core';
import { fail, ok, type Errno, type Result } from '@vfiolab/uapi';
import { isPciePort, matches, PCIEPORT, VFIO_PCI, type Driver } from './drivers.js';
import { factsOf } from './host-topology.js';
import { behindDownLinks, isHere, lowestFreeMinor, UNUSED, type Device, type Host } from './host.js';
import { KERNEL_BUILDS } from './kernel-build.js';
import { meetIommu } from './membership.js';
import { groupWithoutIommu } from './noiommu.js';
import { forgetCdev } from './node-modes.js';
import { groupFor, leaveGroup } from './vfio-group.js';
import { SRIOV_DRIVERS } from './sriov-drivers.js';
import { pfOf } from './virtual-functions.js';
import { dropForKernel, takeForKernel } from './ownership.js';

export type Probe =
  { readonly bound: true } | { readonly bound: false; readonly errno: Errno; readonly by: 'core' | 'driver' };

/** Binds a driver that matches to a device that has none. */
export function* probe(host: Host, device: Device, driver: Driver): Op<Probe> {
  yield* meetIommu(host, device);
  if (!driver.managesDma) {
    const owned = yield* takeForKernel(device.group);
    if (!owned.ok) return { bound: false, errno: owned.errno, by: 'core' };
  }
  const probed = yield* probeBy(host, device, driver);
  if (!probed.ok) {
    if (!driver.managesDma) yield* dropForKernel(device.group);
    return { bound: false, errno: probed.errno, by: 'driver' };
  }
  device.driver = driver.name;
  return { bound: true };
}

/** ENODEV: a VF whose PF does not want drivers for its VFs, but those that it was told by name; else the driver's. */
function* probeBy(host: Host, device: Device, driver: Driver): Op<Result<void>> {
  const pf = pfOf(host, device);
  if (pf?.vfs?.autoprobe === false && device.override === undefined) return fail('ENODEV');
  if (driver.name === VFIO_PCI) return yield* probeVfio(host, device);
  return probeOther(host, device, driver);
}

/**
 * pcieport leaves bridges that are no PCI Express ports alone; native drivers take what they match, but for VFs that do not
 * come up (b093: the probe has failed on 6.12, and is still under way on 7.2).
 */
function probeOther(host: Host, { facts }: Device, driver: Driver): Result<undefined> {
  if (driver.name === PCIEPORT && !isPciePort(facts)) return fail('ENODEV');
  const dead = facts.isVf && facts.model === null && SRIOV_DRIVERS.get(driver.name)?.vfsStartOffline === true;
  return dead && !KERNEL_BUILDS[host.profile].probesInBackground ? fail('ENODEV') : ok(undefined);
}

/**
 * vfio-pci: EINVAL for bridges (D1.3) and for functions without a group (no IOMMU, and noiommu mode is off); EBUSY for a
 * PF whose VFs are enabled (A3.8). The cdev node appears when the device's actor is ready.
 */
function* probeVfio(host: Host, device: Device): Op<Result<void>> {
  if (device.facts.headerType !== 0) return fail('EINVAL');
  if (device.vfs && device.vfs.count > 0) return fail('EBUSY');
  const iommuGroup = device.group ?? groupWithoutIommu(host, device);
  if (!iommuGroup) return fail('EINVAL');
  const vfio = { minor: lowestFreeMinor(host), visible: false, group: groupFor(host, iommuGroup), ...UNUSED };
  device.vfio = vfio;
  const ready = yield* call(deviceAddress(device.bdf), deviceApi.probe, factsOf(host, device, vfio.minor));
  if (!ready.ok) {
    yield* leaveGroup(host, device);
    return ready;
  }
  // A driver finds nothing behind a link that is down, and is bound all the same.
  if (behindDownLinks(host).has(device.bdf))
    yield* call(deviceAddress(device.bdf), deviceApi.fault, faultOf(device.bdf, 'link-down'));
  vfio.visible = true;
  return ready;
}

/**
 * Unbinds a device from its driver. vfio-pci: nodes and links vanish at once, then this waits until the users have
 * closed (A3.9, b055, b056); the minor is free only after that.
 */
export function* remove(host: Host, device: Device): Op<void> {
  const driver = host.drivers.get(device.driver!)!;
  device.removing = true;
  if (device.vfio) {
    device.vfio.visible = false;
    forgetCdev(host, device);
    yield* call(deviceAddress(device.bdf), deviceApi.remove, undefined);
    yield* leaveGroup(host, device);
  }
  device.driver = undefined;
  device.removing = false;
  if (!driver.managesDma) yield* dropForKernel(device.group);
}

/** Offers the driver to a device that it matches; a device that has a driver keeps it, and refusals stay unheard. */
export function* offer(host: Host, device: Device, driver: Driver): Op<void> {
  if (!matches(driver, device.facts, device.override)) return;
  yield* lockWrite(device.lock);
  if (device.driver === undefined && isHere(host, device)) yield* probe(host, device, driver);
  yield* unlock(device.lock);
}

/**
 * Offers a device without driver to every driver that matches. A refusal by the core ends the search with its errno; a
 * driver that declines does not, and ending without a driver is no error. (b015: drivers_probe)
 */
export function* attachAny(host: Host, device: Device): Op<Result<undefined>> {
  for (const driver of host.drivers.all()) {
    if (device.driver !== undefined) break;
    if (!matches(driver, device.facts, device.override)) continue;
    const outcome = yield* probe(host, device, driver);
    if (!outcome.bound && outcome.by === 'core') return fail(outcome.errno);
  }
  return ok(undefined);
}
