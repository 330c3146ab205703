/** VFIO_MIG_GET_PRECOPY_INFO, the one ioctl of a migration's data fd. EINVAL: no PRE_COPY state; ENODEV: the session ended. */
import { DONE, type IoctlCall, type IoctlResult } from '@vfiolab/core';
import { VFIO_PRECOPY_INFO_REINIT, type vfio_precopy_info } from '@vfiolab/uapi';
import type { DeviceMigration } from '../migration/device-migration.js';
import type { Session } from '../migration/session.js';

export interface MigrationFd {
  readonly migration: DeviceMigration;
  readonly session: Session;
}

export function precopyInfo(c: IoctlCall<MigrationFd, typeof vfio_precopy_info>): IoctlResult {
  const { migration, session } = c.file;
  const info = migration.precopyInfo(session);
  if (!info.ok) return info;
  const { initial, dirty, anew } = info.value;
  const told = c.respond({
    flags: anew ? VFIO_PRECOPY_INFO_REINIT : 0,
    initial_bytes: BigInt(initial),
    dirty_bytes: BigInt(dirty),
  });
  return told.ok ? DONE : told;
}
