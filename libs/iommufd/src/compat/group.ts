/**
 * A context in the place of a VFIO container: what groups that were put into it ask.
 *
 * Words: a group *holds* the context from VFIO_GROUP_SET_CONTAINER on, as the kernel's group holds the iommufd's file.
 * Rule: a context serves groups behind an IOMMU or groups without one, never both (semantics A4.2).
 */
import { call, type Op, PAGES, pagesApi, CAP_SYS_RAWIO } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import { changePt } from '../attach.js';
import { bindAccess, bindDevice, unbindDevice } from '../bind.js';
import type { Access } from '../access.js';
import { destroyAccess, joinIoas } from '../access.js';
import type { BoundDevice, Context } from '../context.js';
import { ensureCompatIoas } from './hold.js';

/** EINVAL: the context is for the other sort of groups; ENOMEM: no room for an IOAS. */
export function holdForGroup(context: Context, noiommu: boolean): Result<{ context: number }> {
  if (noiommu) {
    if (context.compatIoas) return fail('EINVAL');
    context.noiommu = true;
  } else {
    if (context.noiommu) return fail('EINVAL');
    const ioas = ensureCompatIoas(context);
    if (!ioas.ok) return ioas;
  }
  context.groups++;
  return ok({ context: context.id });
}

/** A device of a group is opened: bound, and attached to the compatibility IOAS as it is now. ENODEV: there is none. */
export function* bindForGroup(context: Context, bdf: string): Op<Result<BoundDevice>> {
  const bound = yield* bindDevice(context, bdf);
  if (!bound.ok) return bound;
  const { compatIoas } = context;
  const attached = compatIoas ? yield* changePt(context, bound.value, compatIoas.id) : fail('ENODEV');
  if (attached.ok) return bound;
  yield* unbindDevice(context, bound.value);
  return attached;
}

/** The same for a mediated device. ENODEV; EADDRINUSE: the IOAS has areas that are not on pages. */
export function* bindAccessForGroup(context: Context, mdev: string): Op<Result<Access>> {
  const bound = bindAccess(context, mdev);
  if (!bound.ok) return bound;
  const { compatIoas } = context;
  const joined = compatIoas ? joinIoas(bound.value, compatIoas) : fail('ENODEV');
  if (joined.ok) return bound;
  yield* destroyAccess(context, bound.value);
  return joined;
}

/** EPERM: the client may not use devices without an IOMMU, or an IOAS was made, which promises translation (A4.2). */
export function* openNoiommu(context: Context, client: string): Op<Result<undefined>> {
  if (!(yield* mayGoWithoutIommu(client)) || context.compatIoas) return fail('EPERM');
  return ok(undefined);
}

export function* mayGoWithoutIommu(client: string): Op<boolean> {
  const caps = yield* call(PAGES, pagesApi.capabilities, { client });
  return (caps & CAP_SYS_RAWIO) !== 0;
}
