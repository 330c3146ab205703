/**
 * VFIO_GROUP_GET_STATUS: is the group in a container, and could it be put into one?
 *
 * Rule: viable is what nobody owns the DMA of, or what has a container; under iommufd the owner may still be somebody else
 * then (uAPI section 3, b016).
 */
import { DONE, type IoctlCall, type IoctlResult, lockWrite, type Op } from '@vfiolab/core';
import { fail, VFIO_GROUP_FLAGS_CONTAINER_SET, VFIO_GROUP_FLAGS_VIABLE, type vfio_group_status } from '@vfiolab/uapi';
import type { GroupFile } from '../group-files.js';

export function* groupGetStatus(c: IoctlCall<GroupFile, typeof vfio_group_status>): Op<IoctlResult> {
  const { group } = c.file;
  yield* lockWrite(group.lock);
  if (!group.alive) return fail('ENODEV');
  const contained = group.backing.kind !== 'none' ? VFIO_GROUP_FLAGS_CONTAINER_SET | VFIO_GROUP_FLAGS_VIABLE : 0;
  const free = group.iommuGroup.owner.kind === 'none' ? VFIO_GROUP_FLAGS_VIABLE : 0;
  const written = c.respond({ flags: contained | free });
  return written.ok ? DONE : written;
}
