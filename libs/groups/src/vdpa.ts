/**
 * Devices of a second bus: vDPA, each bound to vhost_vdpa since boot and given out by a node of its own.
 *
 * Rule: Linux has no such driver on iommufd, so this is the lab's own. The node takes the BIND, ATTACH and DETACH of a cdev; what is
 * behind it has an IOMMU group of its own, as devices with a stream of their own have (A1.10), and its DMA has one owner
 * like everybody's.
 */
import { call, deviceAddress, deviceApi, type Op } from '@vfiolab/core';
import type { Host, IommuGroup, Passable } from './host.js';
import { type DirNode, fixedDir, link, listDir, type LinkNode } from './nodes.js';

/** Where the driver of each is linked from and to. */
const DRIVER = 'vhost_vdpa';
export const VDPA_NODE = 'vhost-vdpa-';

export interface Vdpa extends Passable {
  readonly index: number;
}

/** Each has a driver from the start. */
export function* probeVdpas({ vdpas, profile }: Host): Op<void> {
  for (const { name, index } of vdpas.values())
    yield* call(deviceAddress(name), deviceApi.probeVdpa, { name, index, profile });
}

/** The device of a node such as `vhost-vdpa-0`. */
export const vdpaOfNode = ({ vdpas }: Host, node: string): Vdpa | undefined =>
  [...vdpas.values()].find(({ index }) => node === `${VDPA_NODE}${index}`);

export const vdpaPath = (name: string): string => `devices/${name}`;

/** /sys/bus/vdpa; `groupDir`: the directory of a group. */
export function vdpaBus(host: Host, groupDir: (group: IommuGroup) => DirNode): DirNode | undefined {
  if (host.vdpas.size === 0) return undefined;
  const links = (up: string): DirNode =>
    listDir(
      () => [...host.vdpas.keys()],
      (name): LinkNode | undefined => {
        const vdpa = host.vdpas.get(name);
        return vdpa && link(`${up}${vdpaPath(name)}`, () => vdpaDir(host, vdpa, groupDir));
      },
    );
  return fixedDir({
    devices: () => links('../../../'),
    drivers: () => fixedDir({ [DRIVER]: () => links('../../../../') }),
  });
}

export const vdpaDir = (host: Host, { group }: Vdpa, groupDir: (group: IommuGroup) => DirNode): DirNode =>
  fixedDir({
    driver: () => link(`../../bus/vdpa/drivers/${DRIVER}`, () => vdpaBus(host, groupDir)!),
    iommu_group: () => link(`../../kernel/iommu_groups/${group!.id}`, () => groupDir(group!)),
    subsystem: () => link('../../bus/vdpa', () => vdpaBus(host, groupDir)!),
  });
