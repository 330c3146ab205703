/** VFIO_IOMMU_MAP_DMA on windows: memory of the owner into TCEs, over whatever they had. */
import { type IoctlCall, type IoctlResult, type Op, PROT_READ, PROT_WRITE } from '@vfiolab/core';
import {
  fail,
  ok,
  type StructOf,
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_WRITE,
  type vfio_iommu_type1_dma_map,
} from '@vfiolab/uapi';
import { build } from '../build.js';
import type { Spapr } from '../spapr.js';
import { createDefaultWindow, slotAt } from '../windows.js';

/** What the checks of alignment answer: the kernel hands a truth value through as the result (SURPRISES 58). */
const MISPLACED: IoctlResult = ok(1);

/**
 * EPERM: not enabled; EINVAL: argsz, flags, no permission, size or vaddr not in IOMMU pages, v2: memory that is not
 * registered; ENXIO: outside of every window; EFAULT: v1, memory that cannot be pinned for writing; ENOMEM: the charge of the
 * default window. 1: the iova is not on an IOMMU page. Only the first page is asked whether it is in the window (q001, q002).
 */
export function* mapDma(
  call: IoctlCall<Spapr, typeof vfio_iommu_type1_dma_map>,
  { flags, vaddr, iova, size }: StructOf<typeof vfio_iommu_type1_dma_map>,
): Op<IoctlResult> {
  const { file: spapr } = call;
  if (flags & ~(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)) return fail('EINVAL');
  const there = yield* createDefaultWindow(spapr);
  if (!there.ok) return there;
  const window = spapr.windows[slotAt(spapr, iova)];
  if (!window) return fail('ENXIO');
  const { pageShift } = window.place;
  const mask = (1n << BigInt(pageShift)) - 1n;
  if (((size | vaddr) & mask) !== 0n || flags === 0) return fail('EINVAL');
  if ((iova & mask) !== 0n) return MISPLACED;
  const read = flags & VFIO_DMA_MAP_FLAG_READ ? PROT_READ : 0;
  const write = flags & VFIO_DMA_MAP_FLAG_WRITE ? PROT_WRITE : 0;
  const implied = write !== 0 && spapr.platform.writeImpliesRead ? PROT_READ : 0;
  const entry = Number(iova >> BigInt(pageShift));
  return yield* build(spapr, window, {
    client: spapr.owner!,
    entry,
    count: size >> BigInt(pageShift),
    va: vaddr,
    prot: read | write | implied,
  });
}
