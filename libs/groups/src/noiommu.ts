/**
 * Groups of devices without an IOMMU: an IOMMU group of one, made for vfio-pci and gone with it. (semantics A4.1)
 *
 * Rule: only when the module parameter asks for it, and the kernel says from then on that it did.
 */
import { newGroup } from './host-topology.js';
import type { Device, Host, IommuGroup } from './host.js';

/** Undefined: the parameter is off. */
export function groupWithoutIommu(host: Host, device: Device): IommuGroup | undefined {
  if (!host.parameters.isOn('vfio.enable_unsafe_noiommu_mode')) return undefined;
  let id = 0;
  while (host.groups.has(id)) id++;
  host.tainted = true;
  return addNoiommuGroup(host, device, id);
}

export function addNoiommuGroup(host: Host, device: Device, id: number): IommuGroup {
  const group = newGroup(id, [device.bdf], true);
  host.groups.set(id, group);
  device.group = group;
  return group;
}

/** vfio-pci has left the device. */
export function dropNoiommuGroup(host: Host, device: Device): void {
  if (!device.group?.noiommu) return;
  host.groups.delete(device.group.id);
  device.group = undefined;
}
