/**
 * Mediated devices in /sys: their parent with its types, the bus, and each device's directory (trace b095).
 *
 * Rule: a device that is being removed is not shown, though its UUID is still taken.
 */
import type { Host, IommuGroup, Passable } from './host.js';
import { createMdev, instancesLeft, isShown, type Mdev, type MdevType, removeMdev, typesOf } from './mdev.js';
import { fixedDir, link, listDir, text, type DirNode, type LinkNode } from './nodes.js';

const PARENT = 'mtty';
const PARENT_PATH = 'devices/virtual/mtty/mtty';
/** From a device's directory up to /sys. */
const UP = '../../../../../';
const EMPTY = fixedDir({});

/** Where a device's directory leads to besides. */
export interface Elsewhere {
  group(group: IommuGroup): DirNode;
  vfioDev(device: Passable): DirNode | undefined;
}

/** Path of a device's own directory below /sys. */
export const mdevPath = (uuid: string): string => `${PARENT_PATH}/${uuid}`;

/** /sys/class/mdev_bus, and the parent's own class. */
export const mttyClass = (host: Host, elsewhere: Elsewhere): DirNode =>
  fixedDir({ [PARENT]: () => link(`../../${PARENT_PATH}`, () => parentDir(host, elsewhere)) });

export const mdevBus = (host: Host, elsewhere: Elsewhere): DirNode =>
  fixedDir({
    devices: () => deviceLinks(host, (name) => `../../../${mdevPath(name)}`, elsewhere),
    drivers: () => fixedDir({ [PARENT]: () => driverDir(host, elsewhere) }),
  });

const driverDir = (host: Host, elsewhere: Elsewhere): DirNode =>
  deviceLinks(host, (name) => `../../../../${mdevPath(name)}`, elsewhere);

const shown = ({ mdevs }: Host): Mdev[] => [...mdevs.values()].filter(isShown);
const shownNamed = ({ mdevs }: Host, name: string): Mdev | undefined => {
  const mdev = mdevs.get(name);
  return mdev && isShown(mdev) ? mdev : undefined;
};

/** Links to devices, each with its target; `type`: to those of one type. */
const deviceLinks = (host: Host, target: (name: string) => string, elsewhere: Elsewhere, type?: MdevType): DirNode =>
  listDir(
    () => shown(host).flatMap((mdev) => (!type || mdev.type === type ? [mdev.name] : [])),
    (name): LinkNode | undefined => {
      const mdev = shownNamed(host, name);
      if (!mdev || (type && mdev.type !== type)) return undefined;
      return link(target(name), () => mdevDir(host, mdev, elsewhere));
    },
  );

function parentDir(host: Host, elsewhere: Elsewhere): DirNode {
  const fixed = fixedDir({
    mdev_supported_types: () =>
      fixedDir(Object.fromEntries(typesOf(host).map((type) => [type.name, () => typeDir(host, type, elsewhere)]))),
    power: () => EMPTY,
    subsystem: () => link('../../../../class/mtty', () => mttyClass(host, elsewhere)),
  });
  return listDir(
    () => [...fixed.names(), ...shown(host).map(({ name }) => name)],
    (name) => {
      const mdev = shownNamed(host, name);
      return mdev ? mdevDir(host, mdev, elsewhere) : fixed.child(name);
    },
  );
}

const typeDir = (host: Host, type: MdevType, elsewhere: Elsewhere): DirNode =>
  fixedDir({
    available_instances: () => text(() => String(instancesLeft(host, type))),
    create: () => ({ kind: 'attribute', store: (data) => createMdev(host, type, data) }),
    device_api: () => text(() => 'vfio-pci'),
    devices: () => deviceLinks(host, (name) => `../../../${name}`, elsewhere, type),
    name: () => text(() => type.title),
  });

export const mdevDir = (host: Host, mdev: Mdev, elsewhere: Elsewhere): DirNode =>
  fixedDir({
    driver: () => link(`${UP}bus/mdev/drivers/${PARENT}`, () => driverDir(host, elsewhere)),
    iommu_group: () => link(`${UP}kernel/iommu_groups/${mdev.group!.id}`, () => elsewhere.group(mdev.group!)),
    mdev_type: () => link(`../mdev_supported_types/${mdev.type.name}`, () => typeDir(host, mdev.type, elsewhere)),
    power: () => EMPTY,
    remove: () => ({ kind: 'attribute', store: (data) => removeMdev(host, mdev, data) }),
    subsystem: () => link(`${UP}bus/mdev`, () => mdevBus(host, elsewhere)),
    uevent: () => text(() => `DRIVER=${PARENT}`),
    vendor: () => fixedDir({ sample_mdev_dev: () => text(() => `This is MDEV ${mdev.name}`) }),
    'vfio-dev': () => elsewhere.vfioDev(mdev),
  });
