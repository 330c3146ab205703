/**
 * What vfio shows of its own devices in /sys: the cdevs below each device and in class vfio-dev, the groups in class vfio.
 *
 * Rule: a device number is shown where there is a node to open. [vfio_main.c, group.c, drivers/base/core.c]
 */
import type { Host, Passable } from './host.js';
import { cdevMajor, GROUP_MAJOR, KERNEL_BUILDS } from './kernel-build.js';
import { type DirNode, fixedDir, link, listDir, type Node, text } from './nodes.js';
import type { VfioGroup } from './vfio-group.js';

const EMPTY = fixedDir({});

interface NodeNumber {
  readonly major: number;
  readonly minor: number;
  /** Below /dev. */
  readonly path: string;
}

/** What every device of a class has; undefined: it has no node. */
const common = (node: NodeNumber | undefined): Record<string, () => Node | undefined> => ({
  dev: () => node && text(() => `${node.major}:${node.minor}`),
  power: () => EMPTY,
  uevent: () => ({
    kind: 'attribute',
    show: () => (node ? `MAJOR=${node.major}\nMINOR=${node.minor}\nDEVNAME=${node.path}\n` : ''),
  }),
});

/** Does the device have a node below /dev/vfio/devices? Without an IOMMU since 7.3 (A4.3), and not on POWER (capability 9). */
export const hasCdev = ({ iommu, profile }: Host, { vfio }: Passable): boolean =>
  vfio?.visible === true && (KERNEL_BUILDS[profile].noiommuCdevs || !vfio.group.iommuGroup.noiommu) && !iommu.endpoints;

/** The directory of a device's cdev; `up`: from there to /sys. */
export function cdevDirectory(
  host: Host,
  device: Passable,
  up: string,
  to: { readonly device: () => DirNode; readonly class: () => DirNode },
): DirNode {
  const { minor } = device.vfio!;
  const node = { major: cdevMajor(host.setup), minor, path: `vfio/devices/vfio${minor}` };
  return fixedDir({
    ...common(hasCdev(host, device) ? node : undefined),
    device: () => link(`../../../${device.name}`, to.device),
    subsystem: () => link(`${up}class/vfio-dev`, to.class),
  });
}

const alive = (host: Host): VfioGroup[] => [...host.vfioGroups.values()].filter((group) => group.alive);

/** /sys/class/vfio. */
export const groupClass = (host: Host): DirNode =>
  listDir(
    () => alive(host).map(({ name }) => name),
    (name) => {
      const group = alive(host).find((each) => each.name === name);
      return group && link(`../../devices/virtual/vfio/${name}`, () => groupDirectory(host, group));
    },
  );

const groupDirectory = (host: Host, { minor, name }: VfioGroup): DirNode =>
  fixedDir({
    ...common({ major: GROUP_MAJOR, minor, path: `vfio/${name}` }),
    subsystem: () => link('../../../../class/vfio', () => groupClass(host)),
  });
