/**
 * Making a function of a host ready for user space, as an administrator does through sysfs.
 *
 * Rule: every native driver of the group goes, because one of them would own the group's DMA; only the asked function is bound.
 */
import type { Process } from '@vfiolab/client';
import { fail, ok, type Result } from '@vfiolab/uapi';

const DEVICES = '/sys/bus/pci/devices';
/** Drivers that may stay beside a user's (semantics A5): they do no DMA of their own. */
const HARMLESS = new Set(['vfio-pci', 'pcieport', 'shpchp', 'pci-stub']);

const last = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

/** `root` may do everything. ENOENT: there is no such function, or it has no group; else what sysfs answers. */
export async function prepareDevice(root: Process, bdf: string): Promise<Result<void>> {
  const members = await root.listdir(`${DEVICES}/${bdf}/iommu_group/devices`);
  if (!members.ok) return members;
  for (const member of members.value) {
    const driver = await root.readlink(`${DEVICES}/${member}/driver`);
    if (!driver.ok || HARMLESS.has(last(driver.value))) continue;
    const unbound = await root.sysfsWrite(`${DEVICES}/${member}/driver/unbind`, member);
    if (!unbound.ok) return unbound;
  }
  const bound = await root.readlink(`${DEVICES}/${bdf}/driver`);
  if (bound.ok && last(bound.value) === 'vfio-pci') return ok(undefined);
  const chosen = await root.sysfsWrite(`${DEVICES}/${bdf}/driver_override`, 'vfio-pci');
  if (!chosen.ok) return chosen;
  const probed = await root.sysfsWrite('/sys/bus/pci/drivers_probe', bdf);
  if (!probed.ok) return probed;
  const now = await root.readlink(`${DEVICES}/${bdf}/driver`);
  return now.ok ? ok(undefined) : fail('ENODEV');
}
