/**
 * The PASID flag of ATTACH and DETACH (semantics C7, trace d002).
 *
 * Rule: the file remembers which PASIDs it attached, so attaching again is a replacement; PASID 0 is the attachment without a
 * PASID, but counts as one of these.
 */
import { call, IOMMUFD, iommufdApi, type Op } from '@vfiolab/core';
import { fail, type Result } from '@vfiolab/uapi';
import type { CdevFile } from '../cdev-file.js';
import type { ProfileFlags } from '../profile-flags.js';

/** A PASID is a positive int. */
const PASID_LIMIT = 2 ** 31;

/** 6.12 knows no flags; later kernels know this one. */
export const hasPasidFlag = ({ knowsPasid }: ProfileFlags, flags: number, flag: number): boolean =>
  knowsPasid && flags === flag;

/** Answers the HWPT in use. ENOSPC: no such PASID; else as iommufd attaches. */
export function* attachPasid(file: CdevFile, pasid: number, pt: number): Op<Result<{ pt: number }>> {
  if (pasid >= PASID_LIMIT) return fail('ENOSPC');
  const replace = file.pasids.has(pasid);
  const attached = yield* call(IOMMUFD, iommufdApi.pasidAttach, { ...file.binding!, pasid, pt, replace });
  if (attached.ok) file.pasids.add(pasid);
  return attached;
}

/** Detaching what is not attached is nothing. */
export function* detachPasid(file: CdevFile, pasid: number): Op<void> {
  if (!file.pasids.delete(pasid)) return;
  yield* call(IOMMUFD, iommufdApi.pasidDetach, { ...file.binding!, pasid });
}
