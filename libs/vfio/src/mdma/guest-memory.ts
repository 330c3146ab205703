/**
 * A mediated device's way to its user's memory: through the container that its group is in, or through the iommufd that it is bound
 * to. [vfio_main.c, vfio_pin_pages and vfio_dma_rw; semantics A5.3]
 *
 * Rule: pins count whole pages from the one that `iova` is in; whoever pinned unpins exactly that.
 */
import { call, CONTAINER, containerApi, IOMMUFD, iommufdApi, type Op, PROT_WRITE } from '@vfiolab/core';
import { fail, ok, PAGE_SIZE, type Result } from '@vfiolab/uapi';
import type { Binding } from '../cdev-file.js';
import type { CommonDevice } from '../common-device.js';

const PAGE = BigInt(PAGE_SIZE);
const PAGE_SHIFT = 12n;

/** Pages in a row that were pinned by one request. `item`: its number at the iommufd. */
export interface PinnedRange {
  readonly first: number;
  readonly count: number;
  readonly item: number;
}

type User = Pick<CommonDevice, 'bound' | 'shared'>;

const bindingOf = ({ bound, shared }: User): Binding | undefined => bound?.binding ?? shared?.binding;

/** EINVAL: no page; else what container or iommufd answer. */
export function* pinPages(device: User, iova: bigint, count: number, prot: number): Op<Result<PinnedRange>> {
  if (count === 0) return fail('EINVAL');
  const binding = bindingOf(device);
  const first = Number(iova >> PAGE_SHIFT);
  if (!binding) {
    const pinned = yield* call(CONTAINER, containerApi.pinPages, { first, count, prot });
    return pinned.ok ? ok({ first, count, item: 0 }) : pinned;
  }
  const write = (prot & PROT_WRITE) !== 0;
  const place = { iova: iova - (iova % PAGE), length: BigInt(count) * PAGE };
  const pinned = yield* call(IOMMUFD, iommufdApi.accessPin, { ...binding, ...place, write });
  return pinned.ok ? ok({ first, count, item: pinned.value.item }) : pinned;
}

export function* unpinPages(device: User, { first, count, item }: PinnedRange): Op<void> {
  const binding = bindingOf(device);
  if (binding) yield* call(IOMMUFD, iommufdApi.accessUnpin, { ...binding, item });
  else yield* call(CONTAINER, containerApi.unpinPages, { first, count });
}

/** During a call of `client`. EINVAL: nothing; else what container or iommufd answer. */
export function* readMemory(device: User, client: string, iova: bigint, length: number): Op<Result<Uint8Array>> {
  if (length === 0) return fail('EINVAL');
  const binding = bindingOf(device);
  if (!binding) return yield* call(CONTAINER, containerApi.memoryRead, { client, iova, length });
  return yield* call(IOMMUFD, iommufdApi.accessRead, { ...binding, client, iova, length });
}

export function* writeMemory(device: User, client: string, iova: bigint, data: Uint8Array): Op<Result<void>> {
  if (data.length === 0) return fail('EINVAL');
  const binding = bindingOf(device);
  if (!binding) return yield* call(CONTAINER, containerApi.memoryWrite, { client, iova, data });
  return yield* call(IOMMUFD, iommufdApi.accessWrite, { ...binding, client, iova, data });
}
