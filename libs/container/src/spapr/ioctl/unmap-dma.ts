/** VFIO_IOMMU_UNMAP_DMA on windows: clears TCEs, whether or not something was in them. */
import type { IoctlCall, IoctlResult, Op } from '@vfiolab/core';
import { fail, ok, type StructOf, type vfio_iommu_type1_dma_unmap } from '@vfiolab/uapi';
import type { Spapr } from '../spapr.js';
import { clear, createDefaultWindow, slotAt } from '../windows.js';

/**
 * `size` comes back as it came. EPERM: not enabled; EINVAL: argsz, flags, size not in IOMMU pages; ENXIO: outside of every
 * window; ENOMEM: the charge of the default window. 1: the iova is not on an IOMMU page, or the range passes the window's end.
 */
export function* unmapDma(
  call: IoctlCall<Spapr, typeof vfio_iommu_type1_dma_unmap>,
  { flags, iova, size }: StructOf<typeof vfio_iommu_type1_dma_unmap>,
): Op<IoctlResult> {
  const { file: spapr } = call;
  if (flags !== 0) return fail('EINVAL');
  const there = yield* createDefaultWindow(spapr);
  if (!there.ok) return there;
  const window = spapr.windows[slotAt(spapr, iova)];
  if (!window) return fail('ENXIO');
  const { pageShift, first, entries } = window.place;
  const shift = BigInt(pageShift);
  const mask = (1n << shift) - 1n;
  if ((size & mask) !== 0n) return fail('EINVAL');
  const entry = Number(iova >> shift);
  if ((iova & mask) !== 0n || BigInt(entry) + (size >> shift) > BigInt(first + entries)) return ok(1);
  yield* clear(spapr, window, entry, entry + Number(size >> shift));
  return ok(0);
}
