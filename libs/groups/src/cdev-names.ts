/**
 * Names of devices' own nodes: vfioN below /dev/vfio/devices, /sys/class/vfio-dev and the device's directory.
 *
 * Rule: a name is there while the cdev is: from the end of a vfio driver's probe to the beginning of its remove.
 */
import { deviceOfMinor, type Host, type Passable, passables } from './host.js';
import { KERNEL_BUILDS } from './kernel-build.js';

/** A kernel that has cdevs for devices without an IOMMU says so in their names (semantics A4.3). */
export function cdevNameOf({ profile }: Host, { vfio }: Passable): string {
  const marked = vfio!.group.iommuGroup.noiommu && KERNEL_BUILDS[profile].noiommuCdevs;
  return `${marked ? 'noiommu-' : ''}vfio${vfio!.minor}`;
}

/** All that exist. */
export const cdevNames = (host: Host): string[] =>
  [...passables(host)].filter(({ vfio }) => vfio?.visible).map((device) => cdevNameOf(host, device));

/** The device behind a name such as `vfio3`. */
export function cdevNamed(host: Host, name: string): Passable | undefined {
  const match = /^(?:noiommu-)?vfio(0|[1-9][0-9]{0,6})$/.exec(name);
  const device = match ? deviceOfMinor(host, Number(match[1])) : undefined;
  return device && cdevNameOf(host, device) === name ? device : undefined;
}
