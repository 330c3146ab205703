/**
 * VFIO_GROUP_SET_CONTAINER: the group goes into a container, or takes an iommufd for one.
 *
 * Rule: in a container of VFIO's own the DMA of the whole group is claimed here and now (semantics A2.3); with an iommufd
 * that waits until a device is opened. A failure leaves nothing behind.
 */
import {
  call,
  CONTAINER,
  containerApi,
  DONE,
  IOMMUFD,
  iommufdApi,
  type IoctlResult,
  lockWrite,
  type Op,
} from '@vfiolab/core';
import { fail, ok } from '@vfiolab/uapi';
import { mayGoWithoutIommu } from '../credentials.js';
import { hasIommu } from '../host.js';
import { claimForContainer, releaseFromContainer } from '../ownership.js';
import type { GroupCall } from './call.js';

/** EBADF, EINVAL: it has one, ENODEV: it left its IOMMU group, EBADFD: neither a container nor an iommufd; see below. */
export function* groupSetContainer(c: GroupCall, fd: number): Op<IoctlResult> {
  const { group } = c.file;
  const passed = c.fds.find((each) => each.fd === fd);
  if (!passed) return fail('EBADF');
  yield* lockWrite(group.lock);
  if (group.backing.kind !== 'none') return fail('EINVAL');
  if (!group.alive) return fail('ENODEV');
  if (passed.owner === CONTAINER) return yield* joinContainer(c, passed.token);
  if (passed.owner === IOMMUFD) return yield* takeIommufd(c, passed.token);
  return fail('EBADFD');
}

/** EPERM: without an IOMMU and no CAP_SYS_RAWIO, the other sort of groups is in it, or DMA is owned; else the backend's. */
function* joinContainer({ file, client }: GroupCall, token: string): Op<IoctlResult> {
  const { iommuGroup } = file.group;
  const { noiommu, emulated } = iommuGroup;
  if (noiommu && !(yield* mayGoWithoutIommu(client))) return fail('EPERM');
  const held = yield* call(CONTAINER, containerApi.hold, { token, client, noiommu });
  if (!held.ok) return held;
  const { container } = held.value;
  const claimed = hasIommu(iommuGroup) ? yield* claimForContainer(iommuGroup, container) : ok(undefined);
  const members = [...iommuGroup.members];
  const joined = claimed.ok
    ? yield* call(CONTAINER, containerApi.join, { container, group: iommuGroup.id, members, noiommu, emulated })
    : claimed;
  if (joined.ok) {
    file.group.backing = { kind: 'container', container, users: 0 };
    return DONE;
  }
  if (claimed.ok && hasIommu(iommuGroup)) yield* releaseFromContainer(iommuGroup);
  yield* call(CONTAINER, containerApi.drop, { container });
  return joined;
}

function* takeIommufd({ file, client }: GroupCall, token: string): Op<IoctlResult> {
  const { group } = file;
  const held = yield* call(IOMMUFD, iommufdApi.compatHold, { token, client, noiommu: group.iommuGroup.noiommu });
  if (!held.ok) return held;
  group.backing = { kind: 'iommufd', context: held.value.context };
  return DONE;
}
