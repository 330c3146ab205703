/**
 * Device nodes below /dev: which exist, and which actor opens each.
 *
 * Rule: a cdev node exists from the end of vfio-pci's probe to the beginning of its remove; a group node exists while a
 * member is bound to vfio-pci (A3.1), in kernels that have groups. A device without an IOMMU has a cdev node in kernels since
 * 7.3 (A4.3).
 */
import { CONTAINER, deviceAddress, GROUPS, IOMMUFD, PAGES } from '@vfiolab/core';
import { cdevNamed, cdevNames } from './cdev-names.js';
import type { Host, Passable } from './host.js';
import { cdevMajor, GROUP_MAJOR, hasGroupNodes, KVM_MISC, miscDevices } from './kernel-build.js';
import { fixedDir, listDir, type DeviceNode, type DirNode } from './nodes.js';
import { type Vdpa, VDPA_NODE, vdpaOfNode } from './vdpa.js';
import type { VfioGroup } from './vfio-group.js';
import { hasCdev } from './vfio-dirs.js';

/** Numbers of the misc devices (trace a051). */
const MISC_MAJOR = 10;
const CONTAINER_MINOR = 196;
/** Handed out at boot behind those of vfio. */
const VDPA_MAJOR = 252;
/** Never handed out: Linux has no such nodes. */
const UIO_MAJOR = 252;
const UIOMMU_MINOR = 254;
const ROOT_ONLY = 0o600;

const miscMinor = ({ profile, setup, iommu }: Host, name: string): number | undefined =>
  miscDevices(profile, setup, iommu.platformMisc).find((each) => each.name === name)?.minor;

const iommuNode = (host: Host): DeviceNode => ({
  kind: 'device',
  owner: IOMMUFD,
  mode: 0o660,
  major: MISC_MAJOR,
  minor: miscMinor(host, 'iommu')!,
});

const KVM_NODE: DeviceNode = {
  kind: 'device',
  owner: GROUPS,
  kvm: true,
  mode: ROOT_ONLY,
  major: MISC_MAJOR,
  minor: KVM_MISC.minor,
};
/** A designer's choice of that time: whoever has a device may make domains. */
const UIOMMU_NODE: DeviceNode = {
  kind: 'device',
  owner: CONTAINER,
  mode: 0o666,
  major: MISC_MAJOR,
  minor: UIOMMU_MINOR,
};

const MEM_MAJOR = 1;
const NULL_NODE: DeviceNode = { kind: 'device', owner: PAGES, mode: 0o666, major: MEM_MAJOR, minor: 3 };
const ZERO_NODE: DeviceNode = { ...NULL_NODE, minor: 5 };

export function devTree(host: Host): DirNode {
  const fixed = fixedTree(host);
  const nodes = host.setup.teaching === undefined ? NO_NODES : functionNodes(host);
  const vdpas = [...host.vdpas.values()].map(({ index }) => `${VDPA_NODE}${index}`);
  return listDir(
    () => [...fixed.names(), ...nodes.keys(), ...vdpas],
    (name) => fixed.child(name) ?? nodes.get(name) ?? vdpaNode(vdpaOfNode(host, name)),
  );
}

const NO_NODES: ReadonlyMap<string, DeviceNode> = new Map();

const fixedTree = (host: Host): DirNode =>
  fixedDir({
    iommu: () => iommuNode(host),
    kvm: () => (host.setup.kvm ? KVM_NODE : undefined),
    null: () => NULL_NODE,
    udmabuf: () => udmabufNode(host),
    uiommu: () => (host.setup.teaching === undefined ? undefined : UIOMMU_NODE),
    vfio: () => vfioDir(host),
    zero: () => ZERO_NODE,
  });

/** /dev/vfioN, as drivers of 2010 had it: one for each function, with the number that its cdev has. */
const functionNodes = (host: Host): ReadonlyMap<string, DeviceNode> =>
  new Map(
    [...host.devices.values()].flatMap((device) => {
      const node = device.vfio?.visible && !device.vfio.group.iommuGroup.noiommu ? cdevNode(host, device) : undefined;
      return node ? [[`vfio${node.minor}`, { ...node, major: UIO_MAJOR }]] : [];
    }),
  );

const containerNode = ({ setup }: Host): DeviceNode => ({
  kind: 'device',
  owner: setup.vfioContainer === 'iommufd' ? IOMMUFD : CONTAINER,
  mode: 0o666,
  major: MISC_MAJOR,
  minor: CONTAINER_MINOR,
});

function udmabufNode(host: Host): DeviceNode | undefined {
  const minor = miscMinor(host, 'udmabuf');
  return minor === undefined ? undefined : { kind: 'device', owner: PAGES, mode: ROOT_ONLY, major: MISC_MAJOR, minor };
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

function vdpaNode(vdpa: Vdpa | undefined): DeviceNode | undefined {
  if (!vdpa) return undefined;
  return { kind: 'device', owner: deviceAddress(vdpa.name), mode: ROOT_ONLY, major: VDPA_MAJOR, minor: vdpa.index };
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
