/**
 * Reading and writing files of iommufd: streams of records, and mapped windows.
 *
 * Rule: a kind of file that a call does not fit refuses it as the VFS does; /dev/iommu itself is neither read nor written.
 */
import type { Op } from '@vfiolab/core';
import { fail, IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV, type Result } from '@vfiolab/uapi';
import type { FaultQueue } from './fault-queue.js';
import type { OpenFile, WindowFile } from './open-files.js';
import { storeVintf } from './vcmdq.js';
import type { VeventQueue } from './vevent-queue.js';
import { readWindow, writeWindow } from './window.js';

export type Queue = FaultQueue | VeventQueue;
type Answer<T> = Result<T> | Op<Result<T>>;

export const readAt = (file: OpenFile | undefined, offset: number, length: number): Result<Uint8Array> =>
  file?.kind === 'iommufd-window' ? readWindow(file.object, offset, length) : seekOn(file);

export const writeAt = (file: OpenFile | undefined, offset: number, data: Uint8Array): Answer<number> =>
  file?.kind === 'iommufd-window' ? store(file, offset, data) : seekOn(file);

const store = ({ context, object }: WindowFile, offset: number, data: Uint8Array): Answer<number> =>
  object.kind === IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV
    ? storeVintf(context, object, offset, data)
    : writeWindow(object, offset, data);

/** Reading and writing at an offset: ESPIPE for streams, EINVAL for files that are neither read nor written. */
function seekOn(file: OpenFile | undefined): Result<never> {
  if (!file) return fail('EBADF');
  return fail(file.kind === 'iommufd-fault' || file.kind === 'iommufd-vevents' ? 'ESPIPE' : 'EINVAL');
}

/** Files that are streams: EBADF: not open; EINVAL: another kind of file. */
export function onQueue<T>(file: OpenFile | undefined, act: (queue: Queue) => Answer<T>): Answer<T> {
  if (!file) return fail('EBADF');
  return file.kind === 'iommufd-fault' || file.kind === 'iommufd-vevents' ? act(file.object) : fail('EINVAL');
}
