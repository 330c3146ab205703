/**
 * VFIO_GROUP_UNSET_CONTAINER: the group leaves its container. EINVAL: it is in none; EBUSY: a device is open.
 *
 * Rule: an iommufd is only let go of: devices that are open stay bound to it (SURPRISES 27).
 */
import { DONE, type IoctlResult, lockWrite, type Op } from '@vfiolab/core';
import { fail } from '@vfiolab/uapi';
import { dropBacking } from '../vfio-group.js';
import type { GroupCall } from './call.js';

export function* groupUnsetContainer({ file: { group } }: GroupCall): Op<IoctlResult> {
  yield* lockWrite(group.lock);
  if (group.backing.kind === 'none') return fail('EINVAL');
  if (group.users > 0) return fail('EBUSY');
  yield* dropBacking(group);
  return DONE;
}
