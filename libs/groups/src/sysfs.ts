/**
 * The part of /sys that tools need to find, bind and judge PCI functions. (A1.11)
 *
 * /sys/bus/pci/{devices,drivers,drivers_probe}, /sys/class, /sys/kernel/iommu_groups, /sys/module.
 * Rule: values are printed as Linux prints them, newline included; links have the depth that they have on the machine.
 */
import { cdevNamed, cdevNameOf, cdevNames } from './cdev-names.js';
import { bind, driversProbe, newId, removeId, setOverride, unbind } from './binding.js';
import { idsOf, type Driver } from './drivers.js';
import { classTree, iommuLink } from './class-dirs.js';
import { type Branch, branchOf, deviceBranches } from './device-branches.js';
import { machineDir, nearFiles } from './processors.js';
import { toolFiles } from './tool-files.js';
import { canBeReset, resetFunction, setResetMethods, showResetMethods } from './function-reset.js';
import { deviceTreeFiles } from './device-tree.js';
import { eehFiles } from './eeh-files.js';
import { functionFiles } from './function-files.js';
import { devicePath } from './host-topology.js';
import {
  hasIommu,
  linkedDriver,
  passableNamed,
  type Device,
  type Host,
  type IommuGroup,
  type Passable,
  type VirtualFunctions,
} from './host.js';
import { groupFiles } from './group-dirs.js';
import { removeFunction, rescan } from './hotplug.js';
import { kvmDebugDir } from './kvm/debugfs.js';
import { mdevBus, mdevDir, mdevPath, mttyClass } from './mdev-sysfs.js';
import { fixedDir, link, listDir, text, type DirNode, type LinkNode, type Node } from './nodes.js';
import { placementOf, resourceText } from './pci-attributes.js';
import { powerpcDebugDir } from './powerpc-debugfs.js';
import { setAutoprobe, setNumVfs, showNumVfs } from './sriov.js';
import { vdpaBus, vdpaDir, vdpaPath } from './vdpa.js';
import { vfsOf } from './virtual-functions.js';
import { cdevDirectory, groupClass } from './vfio-dirs.js';

export const sysfsTree = (host: Host): DirNode =>
  fixedDir({
    bus: () =>
      fixedDir({
        mdev: () => mdevBus(host, links(host)),
        pci: () => pciBus(host),
        vdpa: () => vdpaBus(host, (group) => groupDir(host, group)),
      }),
    class: () => {
      const mtty = () => mttyClass(host, links(host));
      const vfio = { vfio: () => groupClass(host), 'vfio-dev': () => vfioClass(host) };
      return classTree(host, { mdev_bus: mtty, mtty, ...vfio });
    },
    devices: () => branchDir(host, deviceBranches(host.topology), { system: () => machineDir(host.topology) }),
    kernel: () => fixedDir({ debug: () => debugDir(host), iommu_groups: () => groupsDir(host) }),
    module: () => host.parameters.tree(),
  });

function debugDir(host: Host): DirNode | undefined {
  const { endpoints } = host.iommu;
  const dir = fixedDir({
    kvm: () => (host.setup.kvm ? kvmDebugDir(host) : undefined),
    powerpc: () => endpoints && powerpcDebugDir(endpoints, host.topology),
  });
  return dir.names().length > 0 ? dir : undefined;
}

const pciBus = (host: Host): DirNode =>
  fixedDir({
    devices: () => devicesDir(host),
    drivers: () => driversDir(host),
    drivers_probe: () => ({ kind: 'attribute', store: (data) => driversProbe(host, data) }),
    rescan: () => ({ kind: 'attribute', store: (data) => rescan(host, data) }),
  });

const devicesDir = (host: Host): DirNode =>
  listDir(
    () => [...host.devices.keys()],
    (bdf) => linkTo(host, host.devices.get(bdf), '../../../'),
  );

/** Link to a device's directory from a directory that lies `up` below /sys. */
function linkTo(host: Host, device: Device | undefined, up: string): LinkNode | undefined {
  return device && link(up + devicePath(host.topology, device.facts), () => deviceDir(host, device));
}

const hex = (value: number, digits: number): string => `0x${value.toString(16).padStart(digits, '0')}`;

/** A directory below /sys/devices that only leads on: to host bridges, root buses, and functions. */
const branchDir = (host: Host, { below }: Branch, more: Record<string, () => Node> = {}): DirNode =>
  fixedDir({
    ...Object.fromEntries([...below].map(([name, branch]) => [name, () => placedDir(host, name, branch)])),
    ...more,
  });

function placedDir(host: Host, name: string, branch: Branch): DirNode {
  const device = host.devices.get(name);
  return device ? deviceDir(host, device) : branchDir(host, branch);
}

/** Functions on the bus behind a bridge have their directories in the bridge's. */
const functionsBehind = (host: Host, { facts }: Device): Record<string, () => Node> =>
  Object.fromEntries(
    [...branchOf(host.topology, facts).below].map(([name, branch]) => [name, () => placedDir(host, name, branch)]),
  );

function deviceDir(host: Host, device: Device): DirNode {
  const { facts } = device;
  const ids = idsOf(facts);
  /** From the device's own directory up to /sys. */
  const up = '../'.repeat(devicePath(host.topology, facts).split('/').length);
  return fixedDir({
    ...functionsBehind(host, device),
    ...toolFiles(device),
    ...nearFiles(host.topology, facts),
    ...functionFiles(host, device),
    ...deviceTreeFiles(host.topology, facts, host.iommu.unclassified, up),
    ...eehFiles(host, device),
    class: () => text(() => hex(ids.class, 6)),
    device: () => text(() => hex(ids.device, 4)),
    driver: () => driverLink(host, device, up),
    driver_override: () => ({
      kind: 'attribute',
      show: () => `${device.override ?? '(null)'}\n`,
      store: (data) => setOverride(device, data),
    }),
    iommu: () => (device.group && hasIommu(device.group) ? iommuLink(host, facts, up) : undefined),
    iommu_group: () =>
      device.group && link(`${up}kernel/iommu_groups/${device.group.id}`, () => groupDir(host, device.group!)),
    numa_node: () => text(() => String(facts.numaNode ?? -1)),
    ...(facts.isVf ? {} : hotplugFiles(host, device)),
    reset: () =>
      canBeReset(host, device) ? { kind: 'attribute', store: (data) => resetFunction(host, device, data) } : undefined,
    reset_method: () =>
      canBeReset(host, device)
        ? {
            kind: 'attribute',
            show: () => showResetMethods(host, device),
            store: (data) => setResetMethods(host, device, data),
          }
        : undefined,
    resource: () => text(() => resourceText(facts, placementOf(host, facts))),
    revision: () => text(() => hex(facts.revision ?? 0, 2)),
    ...(device.vfs ? sriovFiles(host, device, device.vfs) : {}),
    ...(facts.vfOf === null ? {} : { physfn: () => peerLink(host, device, host.devices.get(facts.vfOf!)) }),
    subsystem: () => link(`${up}bus/pci`, () => pciBus(host)),
    subsystem_device: () => text(() => hex(ids.subdevice, 4)),
    subsystem_vendor: () => text(() => hex(ids.subvendor, 4)),
    vendor: () => text(() => hex(ids.vendor, 4)),
    'vfio-dev': () => vfioDevDir(host, device),
  });
}

const hotplugFiles = (host: Host, device: Device): Record<string, () => Node> => ({
  remove: () => ({ kind: 'attribute', store: (data) => removeFunction(host, device, data) }),
  rescan: () => ({ kind: 'attribute', store: (data) => rescan(host, data, device) }),
});

/** What a PF's directory has more than others', with a link to each of its VFs. */
function sriovFiles(host: Host, pf: Device, vfs: VirtualFunctions): Record<string, () => Node | undefined> {
  const { totalVfs, offset, stride, vfDevice } = pf.facts.sriov!;
  const links = vfsOf(host, pf).map((vf, n) => [`virtfn${n}`, () => peerLink(host, pf, vf)] as const);
  return {
    sriov_drivers_autoprobe: () => ({
      kind: 'attribute',
      show: () => `${vfs.autoprobe ? 1 : 0}\n`,
      store: (data) => setAutoprobe(vfs, data),
    }),
    sriov_numvfs: () => ({
      kind: 'attribute',
      show: () => showNumVfs(pf, vfs),
      store: (data) => setNumVfs(host, pf, vfs, data),
    }),
    sriov_offset: () => text(() => String(offset)),
    sriov_stride: () => text(() => String(stride)),
    sriov_totalvfs: () => text(() => String(totalVfs)),
    sriov_vf_device: () => text(() => (vfDevice ?? 0xffff).toString(16)),
    ...Object.fromEntries(links),
  };
}

/** Link from one device's directory to another's: a VF's directory is beside its PF's. */
const peerLink = (host: Host, { bdf }: Device, to: Device | undefined): LinkNode | undefined =>
  to && bdf !== to.bdf ? link(`../${to.bdf}`, () => deviceDir(host, to)) : undefined;

function driverLink(host: Host, device: Device, up: string): LinkNode | undefined {
  const name = linkedDriver(device);
  if (name === undefined) return undefined;
  return link(`${up}bus/pci/drivers/${name}`, () => driverDir(host, host.drivers.get(name)!));
}

/** Exists while the cdev node does. */
function vfioDevDir(host: Host, device: Passable): DirNode | undefined {
  if (!device.vfio?.visible) return undefined;
  return fixedDir({ [cdevNameOf(host, device)]: () => vfioNodeDir(host, device) });
}

function vfioNodeDir(host: Host, device: Passable): DirNode {
  const up = '../'.repeat(pathOf(host, device).split('/').length + 2);
  const to = { device: () => directoryOf(host, device), class: () => vfioClass(host) };
  return cdevDirectory(host, device, up, to);
}

function directoryOf(host: Host, { name }: Passable): DirNode {
  const device = host.devices.get(name);
  if (device) return deviceDir(host, device);
  const vdpa = host.vdpas.get(name);
  return vdpa
    ? vdpaDir(host, vdpa, (group) => groupDir(host, group))
    : mdevDir(host, host.mdevs.get(name)!, links(host));
}

/** Path of a device's own directory below /sys. */
function pathOf(host: Host, { name }: Passable): string {
  const device = host.devices.get(name);
  if (device) return devicePath(host.topology, device.facts);
  return host.vdpas.has(name) ? vdpaPath(name) : mdevPath(name);
}

/** Directories that those of mediated devices lead to. */
const links = (host: Host) => ({
  group: (group: IommuGroup) => groupDir(host, group),
  vfioDev: (device: Passable) => vfioDevDir(host, device),
});

const vfioClass = (host: Host): DirNode =>
  listDir(
    () => cdevNames(host),
    (name) => {
      const device = cdevNamed(host, name);
      if (!device) return undefined;
      const target = `../../${pathOf(host, device)}/vfio-dev/${name}`;
      return link(target, () => vfioNodeDir(host, device));
    },
  );

const driversDir = (host: Host): DirNode =>
  listDir(
    () => [...host.drivers.all()].map(({ name }) => name),
    (name) => {
      const driver = host.drivers.get(name);
      return driver && driverDir(host, driver);
    },
  );

function driverDir(host: Host, driver: Driver): DirNode {
  const files = fixedDir({
    bind: () => ({ kind: 'attribute', store: (data) => bind(host, driver, data) }),
    new_id: () => ({ kind: 'attribute', store: (data) => newId(host, driver, data) }),
    remove_id: () => ({ kind: 'attribute', store: (data) => removeId(driver, data) }),
    unbind: () => ({ kind: 'attribute', store: (data) => unbind(host, driver, data) }),
  });
  const bound = (device: Device | undefined): boolean => !!device && linkedDriver(device) === driver.name;
  return listDir(
    () => [...files.names(), ...[...host.devices.values()].filter(bound).map(({ bdf }) => bdf)],
    (name) => {
      const device = host.devices.get(name);
      return files.child(name) ?? (bound(device) ? linkTo(host, device, '../../../../') : undefined);
    },
  );
}

const groupsDir = (host: Host): DirNode =>
  listDir(
    () => [...host.groups.keys()].map(String),
    (name): Node | undefined => {
      const group = /^(0|[1-9][0-9]{0,6})$/.test(name) ? host.groups.get(Number(name)) : undefined;
      return group && groupDir(host, group);
    },
  );

const groupDir = (host: Host, group: IommuGroup): DirNode =>
  groupFiles(host, group, (name) => memberLink(host, group, name));

function memberLink(host: Host, { members }: IommuGroup, name: string): LinkNode | undefined {
  const member = members.includes(name) ? passableNamed(host, name) : undefined;
  return member && link(`../../../../${pathOf(host, member)}`, () => directoryOf(host, member));
}
