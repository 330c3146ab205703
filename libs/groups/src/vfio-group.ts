/**
 * Groups as vfio sees them: what is behind /dev/vfio/N. [vfio/group.c]
 *
 * Words: a *vfio group* is made when the first device of an IOMMU group is bound to a vfio driver, and leaves the IOMMU group
 * when the last is unbound; its *backing* is what VFIO_GROUP_SET_CONTAINER gave it; *users* are the devices that were opened
 * through it while it is in a container.
 * Rule: a group that has left its IOMMU group never comes back: whoever has its file open keeps a dead one, and the next
 * bind makes another (b055).
 */
import {
  type Address,
  call,
  CONTAINER,
  containerApi,
  IOMMUFD,
  iommufdApi,
  Lock,
  lockWrite,
  type Op,
  unlock,
} from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import { mayGoWithoutIommu } from './credentials.js';
import type { GroupFile } from './group-files.js';
import { hasIommu, type Host, type IommuGroup, type Passable, passables } from './host.js';
import { forgetGroupNode } from './node-modes.js';
import { dropMadeGroup } from './noiommu.js';
import { releaseFromContainer } from './ownership.js';

export type Backing =
  | { readonly kind: 'none' }
  | { readonly kind: 'container'; readonly container: number; users: number }
  | { readonly kind: 'iommufd'; readonly context: number };

const NONE: Backing = { kind: 'none' };

export class VfioGroup {
  /** The kernel's group lock: held by the ioctls, by open, and by the release of the file. */
  readonly lock = new Lock();
  /** A device of it is bound to vfio-pci. */
  alive = true;
  /** The one open file of the node. */
  file: GroupFile | undefined;
  backing: Backing = NONE;
  /** The VM that its devices take when they are opened; 0: none. */
  vm = 0;

  constructor(
    readonly minor: number,
    readonly iommuGroup: IommuGroup,
  ) {}

  /** As its node is called. */
  get name(): string {
    return `${this.iommuGroup.noiommu ? 'noiommu-' : ''}${this.iommuGroup.id}`;
  }

  /** Devices and external users that keep the group in its container, and its file. */
  get users(): number {
    return this.backing.kind === 'container' ? this.backing.users : 0;
  }
}

export const devicesOf = (host: Host, group: VfioGroup): Passable[] =>
  [...passables(host)].filter(({ vfio }) => vfio?.group === group);

/** The group that a device being bound to vfio-pci comes to; made when there is none. */
export function groupFor(host: Host, iommuGroup: IommuGroup): VfioGroup {
  for (const group of host.vfioGroups.values()) if (group.alive && group.iommuGroup === iommuGroup) return group;
  let minor = 0;
  while (host.vfioGroups.has(minor)) minor++;
  const made = new VfioGroup(minor, iommuGroup);
  host.vfioGroups.set(minor, made);
  return made;
}

/** The device has no vfio driver any more. The last one takes its group out of the container. */
export function* leaveGroup(host: Host, device: Passable): Op<void> {
  const { group } = device.vfio!;
  device.vfio = undefined;
  dropMadeGroup(host, device);
  if (devicesOf(host, group).length > 0) return;
  group.alive = false;
  forgetGroupNode(host, group);
  yield* lockWrite(group.lock);
  if (group.backing.kind === 'container') yield* dropBacking(group);
  if (!group.file) host.vfioGroups.delete(group.minor);
  yield* unlock(group.lock);
}

/**
 * A device is opened through its group. EINVAL: the container has no backend; EPERM: there is no IOMMU, and the client has
 * no CAP_SYS_RAWIO, or (with an iommufd) an IOAS that promises translation. In a container it is one user more (`counted`).
 */
export function* useGroup({ backing, iommuGroup }: VfioGroup, client: Address): Op<Result<{ counted: boolean }>> {
  if (backing.kind === 'container') {
    const ready = yield* call(CONTAINER, containerApi.ready, { container: backing.container });
    if (!ready.ok) return ready;
    if (iommuGroup.noiommu && !(yield* mayGoWithoutIommu(client))) return fail('EPERM');
    backing.users++;
    return ok({ counted: true });
  } else if (backing.kind === 'iommufd' && iommuGroup.noiommu) {
    const { context } = backing;
    const agreed = yield* call(IOMMUFD, iommufdApi.compatNoiommu, { context, client });
    if (!agreed.ok) return agreed;
  }
  return ok({ counted: false });
}

/** Out of the container, with the DMA ownership that came with it; an iommufd is only held. The caller has the lock. */
export function* dropBacking(group: VfioGroup): Op<void> {
  const { backing, iommuGroup } = group;
  if (backing.kind === 'container') {
    const { container } = backing;
    yield* call(CONTAINER, containerApi.leave, { container, group: iommuGroup.id });
    if (hasIommu(iommuGroup)) yield* releaseFromContainer(iommuGroup);
    yield* call(CONTAINER, containerApi.drop, { container });
  } else if (backing.kind === 'iommufd') {
    yield* call(IOMMUFD, iommufdApi.compatDrop, { context: backing.context });
  }
  group.backing = NONE;
}
