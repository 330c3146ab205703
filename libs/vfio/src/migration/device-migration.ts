/** Migration as the features and the data fd see it; each driver has its own way (semantics D9). */
import type { Lock } from '@vfiolab/core';
import type { Errno, Result } from '@vfiolab/uapi';
import type { Session } from './session.js';

/** What a request came to: the session whose file is new, and the errno of the arc that failed. */
export interface Walk {
  readonly opened: Session | undefined;
  readonly errno: Errno | undefined;
}

export interface DeviceMigration {
  /** VFIO_MIGRATION_*. */
  readonly features: number;
  readonly state: number;
  /** Bytes of a whole state. */
  readonly imageBytes: number;
  readonly session: Session | undefined;
  /** The client knows the flags of VFIO_MIG_GET_PRECOPY_INFO. */
  precopyInfo2: boolean;
  /** Held by requests for a state. */
  readonly lock: Lock;
  walk(to: number): Walk;
  read(session: Session, length: number): Result<Uint8Array>;
  write(session: Session, data: Uint8Array): Result<number>;
  precopyInfo(session: Session): Result<{ initial: number; dirty: number; anew: boolean }>;
}
