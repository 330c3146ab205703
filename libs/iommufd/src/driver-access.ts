/**
 * What drivers of mediated devices ask of the access that they are bound as (semantics A5.3).
 *
 * Rule: a context lives as long as a device is bound to it, so requests hold nothing of it: an unmap that waits for the driver goes on.
 */
import type { ArgsOf, iommufdApi, Op } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import { type Access, pinItem, unpinItem } from './access.js';
import { copy } from './access-copy.js';

type Args<K extends keyof typeof iommufdApi> = ArgsOf<(typeof iommufdApi)[K]>;
type AccessOf = (bound: { readonly context: number; readonly device: number }) => Access | undefined;

export const ofDrivers = (accessOf: AccessOf) => ({
  *accessPin(_: unknown, args: Args<'accessPin'>): Op<Result<{ item: number }>> {
    const access = accessOf(args);
    return access ? yield* pinItem(access, args.iova, args.length, args.write) : fail('ENOENT');
  },

  *accessUnpin(_: unknown, args: Args<'accessUnpin'>): Op<void> {
    const access = accessOf(args);
    if (access) yield* unpinItem(access, args.item);
  },

  *accessRead(_: unknown, args: Args<'accessRead'>): Op<Result<Uint8Array>> {
    const [access, { client, iova, length }] = [accessOf(args), args];
    const data = new Uint8Array(length);
    const copied = access ? yield* copy(access, iova, { client, slow: false, write: false, data }) : fail('ENOENT');
    return copied.ok ? ok(data) : copied;
  },

  *accessWrite(_: unknown, args: Args<'accessWrite'>): Op<Result<void>> {
    const [access, { client, iova, data }] = [accessOf(args), args];
    return access ? yield* copy(access, iova, { client, slow: false, write: true, data }) : fail('ENOENT');
  },
});
