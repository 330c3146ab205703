/**
 * Device nodes below /dev: which exist, and which actor opens each.
 *
 * Rule: a cdev node exists from the end of vfio-pci's probe to the beginning of its remove; a group node exists while a
 * member is bound to vfio-pci (A3.1). Group nodes and the container node have no actor yet: they are listed, not opened.
 */
import { deviceAddress, IOMMUFD } from '@vfiolab/core';
import type { Host } from './host.js';
import { fixedDir, listDir, type DeviceNode, type DirNode } from './nodes.js';
import { cdevNamed, cdevNames } from './sysfs.js';

const UNOPENED: DeviceNode = { kind: 'device', owner: undefined };

export const devTree = (host: Host): DirNode =>
  fixedDir({
    iommu: () => ({ kind: 'device', owner: IOMMUFD }),
    vfio: () => vfioDir(host),
  });

function vfioDir(host: Host): DirNode {
  const fixed = fixedDir({ devices: () => cdevDir(host), vfio: () => UNOPENED });
  return listDir(
    () => [...fixed.names(), ...groupNodes(host)],
    (name) => fixed.child(name) ?? (groupNodes(host).includes(name) ? UNOPENED : undefined),
  );
}

/** There is no empty directory: it comes and goes with its nodes. */
function cdevDir(host: Host): DirNode | undefined {
  const names = cdevNames(host);
  if (names.length === 0) return undefined;
  return listDir(
    () => names,
    (name) => {
      const device = cdevNamed(host, name);
      return device && { kind: 'device', owner: deviceAddress(device.bdf) };
    },
  );
}

function groupNodes(host: Host): string[] {
  const ids = new Set<number>();
  for (const { vfio, group } of host.devices.values()) if (vfio && group) ids.add(group.id);
  return [...ids].map(String);
}
