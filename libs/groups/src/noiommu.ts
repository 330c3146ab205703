/**
 * Groups of devices without an IOMMU: an IOMMU group of one, made for vfio-pci and gone with it. (semantics A4.1)
 *
 * Rule: only when the module parameter asks for it, and the kernel says from then on that it did.
 */
import { newGroup } from './host-topology.js';
import { type Device, hasIommu, type Host, type IommuGroup, lowestFreeGroup, type Passable } from './host.js';

/** Undefined: the parameter is off. */
export function groupWithoutIommu(host: Host, device: Device): IommuGroup | undefined {
  if (!host.parameters.isOn('vfio.enable_unsafe_noiommu_mode')) return undefined;
  host.tainted = true;
  return addNoiommuGroup(host, device, lowestFreeGroup(host));
}

export function addNoiommuGroup(host: Host, device: Device, id: number): IommuGroup {
  const group = newGroup(id, [device.bdf], 'noiommu');
  host.groups.set(id, group);
  device.group = group;
  return group;
}

/** The driver has left the device: a group that was made for it goes. */
export function dropMadeGroup(host: Host, device: Passable): void {
  if (!device.group || hasIommu(device.group)) return;
  host.groups.delete(device.group.id);
  device.group = undefined;
}
