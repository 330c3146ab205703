/**
 * Device nodes below /dev: which exist, and which actor opens each.
 *
 * Rule: a cdev node exists from the end of vfio-pci's probe to the beginning of its remove; a group node exists while a
 * member is bound to vfio-pci (A3.1), in kernels that have groups. A device without an IOMMU has no cdev node (A4.3).
 */
import { CONTAINER, deviceAddress, GROUPS, IOMMUFD, PAGES } from '@vfiolab/core';
import type { Host, Passable } from './host.js';
import { cdevMajor, GROUP_MAJOR, hasGroupNodes, KERNEL_BUILDS } from './kernel-build.js';
import { fixedDir, listDir, type DeviceNode, type DirNode } from './nodes.js';
import type { VfioGroup } from './vfio-group.js';
import { cdevNamed, cdevNames } from './sysfs.js';
import { hasCdev } from './vfio-dirs.js';

/** Numbers of the misc devices (trace a051). */
const MISC_MAJOR = 10;
const IOMMU_MINOR = 257;
const CONTAINER_MINOR = 196;
const ROOT_ONLY = 0o600;

const IOMMU_NODE: DeviceNode = {
  kind: 'device',
  owner: IOMMUFD,
  mode: 0o660,
  major: MISC_MAJOR,
  minor: IOMMU_MINOR,
};

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

const containerNode = ({ setup }: Host): DeviceNode => ({
  kind: 'device',
  owner: setup.vfioContainer === 'iommufd' ? IOMMUFD : CONTAINER,
  mode: 0o666,
  major: MISC_MAJOR,
  minor: CONTAINER_MINOR,
});

function udmabufNode(host: Host): DeviceNode | undefined {
  const found = KERNEL_BUILDS[host.profile].misc.find(({ name }) => name === 'udmabuf');
  return found && { kind: 'device', owner: PAGES, mode: ROOT_ONLY, major: MISC_MAJOR, minor: found.minor };
}

/** There is no empty directory: it comes and goes with its nodes. */
function vfioDir(host: Host): DirNode | undefined {
  const byGroup = hasGroupNodes(host.setup);
  const fixed = fixedDir({ devices: () => cdevDir(host), vfio: () => (byGroup ? containerNode(host) : undefined) });
  if (!byGroup) return fixed.names().length > 0 ? fixed : undefined;
  return listDir(
    () => [...fixed.names(), ...groupNodes(host).keys()],
    (name) => fixed.child(name) ?? groupNode(groupNodes(host).get(name)),
  );
}

function groupNode(group: VfioGroup | undefined): DeviceNode | undefined {
  if (!group) return undefined;
  return { kind: 'device', owner: GROUPS, group, mode: ROOT_ONLY, major: GROUP_MAJOR, minor: group.minor };
}

function cdevDir(host: Host): DirNode | undefined {
  const names = cdevNames(host).filter((name) => hasCdev(host, cdevNamed(host, name)!));
  if (names.length === 0) return undefined;
  return listDir(
    () => names,
    (name) => (names.includes(name) ? cdevNode(host, cdevNamed(host, name)) : undefined),
  );
}

function cdevNode({ setup }: Host, device: Passable | undefined): DeviceNode | undefined {
  if (!device?.vfio) return undefined;
  const { name, vfio } = device;
  return { kind: 'device', owner: deviceAddress(name), mode: ROOT_ONLY, major: cdevMajor(setup), minor: vfio.minor };
}

/** By name. */
function groupNodes(host: Host): Map<string, VfioGroup> {
  const alive = [...host.vfioGroups.values()].filter((group) => group.alive);
  return new Map(alive.map((group) => [group.name, group]));
}
