/**
 * One open of a function: of /dev/vfio/devices/vfioN, or through its group.
 *
 * Rule (I16, I17): a file of the cdev gives access only while it is bound, and at most one of a function is. Files opened
 * through the group give access from the start, share what the first of them set up, and are never bound themselves.
 */
import { Lock } from '@vfiolab/core';

/** Linux open flags: the access mode. */
export const O_ACCMODE = 3;
export const O_WRONLY = 1;
export const O_RDWR = 2;

/** What iommufd answered to the bind. */
export interface Binding {
  readonly context: number;
  /** Id of the DEVICE object in the context. */
  readonly device: number;
}

export class CdevFile {
  /** Held for reading by every call on the file, for writing by its release: a file outlives the calls on it. */
  readonly inUse = new Lock();
  binding: Binding | undefined;
  /** Id of the HWPT in use; undefined when detached. */
  attached: number | undefined;
  /** PASIDs that were attached as such, PASID 0 among them. */
  readonly pasids = new Set<number>();

  constructor(
    readonly id: number,
    readonly accessMode: number,
    readonly viaGroup = false,
  ) {}

  get hasAccess(): boolean {
    return this.viaGroup || this.binding !== undefined;
  }

  get readable(): boolean {
    return this.accessMode !== O_WRONLY;
  }

  get writable(): boolean {
    return this.accessMode === O_WRONLY || this.accessMode === O_RDWR;
  }
}
