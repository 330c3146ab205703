/**
 * Device nodes below /dev: which exist, and which actor opens each.
 *
 * Rule: a cdev node exists from the end of vfio-pci's probe to the beginning of its remove; a group node exists while a
 * member is bound to vfio-pci (A3.1).
 */
import { CONTAINER, deviceAddress, GROUPS, IOMMUFD, PAGES } from '@vfiolab/core';
import type { Host } from './host.js';
import { KERNEL_BUILDS } from './kernel-build.js';
import { fixedDir, listDir, type DeviceNode, type DirNode } from './nodes.js';
import type { VfioGroup } from './vfio-group.js';
import { cdevNamed, cdevNames } from './sysfs.js';

/** Modes and numbers of the misc devices are those of trace a051; only /dev/vfio/vfio is open to every user. */
const MISC_MAJOR = 10;
const IOMMU_NODE: DeviceNode = { kind: 'device', owner: IOMMUFD, mode: 0o660, major: MISC_MAJOR, minor: 257 };
const CONTAINER_NODE = { kind: 'device', mode: 0o666, major: MISC_MAJOR, minor: 196 } as const;
/** Majors that a kernel hands out at boot: ours are the first two that it tries. */
const GROUP_MAJOR = 254;
const CDEV_MAJOR = 253;
const ROOT_ONLY = 0o600;

const MEM_MAJOR = 1;
const NULL_NODE: DeviceNode = { kind: 'device', owner: PAGES, mode: 0o666, major: MEM_MAJOR, minor: 3 };
const ZERO_NODE: DeviceNode = { ...NULL_NODE, minor: 5 };

export const devTree = (host: Host): DirNode =>
  fixedDir({
    iommu: () => IOMMU_NODE,
    null: () => NULL_NODE,
    udmabuf: () => udmabufNode(host),
    vfio: () => vfioDir(host),
    zero: () => ZERO_NODE,
  });

function udmabufNode(host: Host): DeviceNode | undefined {
  const found = KERNEL_BUILDS[host.profile].misc.find(({ name }) => name === 'udmabuf');
  return found && { kind: 'device', owner: PAGES, mode: ROOT_ONLY, major: MISC_MAJOR, minor: found.minor };
}

function vfioDir(host: Host): DirNode {
  const owner = host.setup.vfioContainer === 'iommufd' ? IOMMUFD : CONTAINER;
  const fixed = fixedDir({ devices: () => cdevDir(host), vfio: () => ({ ...CONTAINER_NODE, owner }) });
  return listDir(
    () => [...fixed.names(), ...groupNodes(host).keys()],
    (name) => fixed.child(name) ?? groupNode(groupNodes(host).get(name)),
  );
}

const groupNode = (group: VfioGroup | undefined): DeviceNode | undefined =>
  group && { kind: 'device', owner: GROUPS, group, mode: ROOT_ONLY, major: GROUP_MAJOR, minor: group.minor };

/** There is no empty directory: it comes and goes with its nodes. */
function cdevDir(host: Host): DirNode | undefined {
  const names = cdevNames(host);
  if (names.length === 0) return undefined;
  return listDir(
    () => names,
    (name) => {
      const device = cdevNamed(host, name);
      const minor = Number(name.slice('vfio'.length));
      return device && { kind: 'device', owner: deviceAddress(device.bdf), mode: ROOT_ONLY, major: CDEV_MAJOR, minor };
    },
  );
}

/** By name: the number of the IOMMU group. */
function groupNodes(host: Host): Map<string, VfioGroup> {
  const alive = [...host.vfioGroups.values()].filter((group) => group.alive);
  return new Map(alive.map((group) => [String(group.iommuGroup.id), group]));
}
