/** VFIO_IOMMU_MAP_DMA and VFIO_IOMMU_UNMAP_DMA on an iommufd. */
import {
  fail,
  ok,
  type Result,
  type StructOf,
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_DMA_UNMAP_FLAG_ALL,
  type vfio_iommu_type1_dma_map,
  type vfio_iommu_type1_dma_unmap,
} from '@vfiolab/uapi';
import { type IoctlResult, lockRead, type Op, PROT_READ, PROT_WRITE, unlock } from '@vfiolab/core';
import type { Call } from '../ioctl/call.js';
import { cutAt } from '../cut.js';
import { holdCompatIoas } from './hold.js';
import type { Ioas } from '../ioas.js';
import { judgeRange, mapUser } from '../map.js';
import { U64_MAX } from '../spans.js';
import { type Unmapped, unmapSpan } from '../unmap.js';

/**
 * EINVAL: argsz, flags; ENODEV: no IOAS; then as IOMMU_IOAS_MAP with a fixed IOVA: EINVAL, EOVERFLOW, EEXIST, EFAULT, ENOMEM.
 * No permission at all is for page tables to refuse.
 */
export function* mapDma(
  call: Call<typeof vfio_iommu_type1_dma_map>,
  cmd: StructOf<typeof vfio_iommu_type1_dma_map>,
): Op<IoctlResult> {
  const { context, flags } = call.file;
  if (cmd.flags & ~(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)) return fail('EINVAL');
  const read = cmd.flags & VFIO_DMA_MAP_FLAG_READ ? PROT_READ : 0;
  const write = cmd.flags & VFIO_DMA_MAP_FLAG_WRITE ? PROT_WRITE : 0;
  const ioas = yield* holdCompatIoas(context);
  if (!ioas.ok) return ioas;
  const judged = judgeRange(cmd.vaddr, cmd.size, flags);
  if (!judged.ok) return judged;
  const range = {
    client: call.client,
    va: cmd.vaddr,
    length: cmd.size,
    prot: read | write,
    writable: write !== 0,
    rlimitMode: context.rlimitMode,
  };
  const mapped = yield* mapUser(ioas.value, range, cmd.iova);
  return mapped.ok ? ok(0) : mapped;
}

/**
 * `size` comes back as the bytes removed, also when a part could not be (SURPRISES 23). EINVAL: argsz, flags, no size, a cut
 * within a page; ENODEV: no IOAS; EOVERFLOW; ENOENT: a mapping is cut; EBUSY: one is on its way in or out.
 */
export function* unmapDma(
  call: Call<typeof vfio_iommu_type1_dma_unmap>,
  cmd: StructOf<typeof vfio_iommu_type1_dma_unmap>,
): Op<IoctlResult> {
  if (cmd.flags & ~VFIO_DMA_UNMAP_FLAG_ALL) return fail('EINVAL');
  const ioas = yield* holdCompatIoas(call.file.context);
  if (!ioas.ok) return ioas;
  const all = (cmd.flags & VFIO_DMA_UNMAP_FLAG_ALL) !== 0;
  if (all && (cmd.iova !== 0n || cmd.size !== 0n)) return fail('EINVAL');
  const cut = all || ioas.value.hugePages ? ok(undefined) : yield* cutEdges(ioas.value, cmd.iova, cmd.size);
  if (!cut.ok) return cut;
  const { bytes, errno } = yield* remove(ioas.value, all ? 0n : cmd.iova, all ? U64_MAX + 1n : cmd.size);
  const told = call.respond({ size: bytes });
  if (!told.ok) return told;
  return errno ? fail(errno) : ok(0);
}

function* remove(ioas: Ioas, start: bigint, length: bigint): Op<Unmapped> {
  if (length === 0n) return { bytes: 0n, errno: 'EINVAL' };
  const last = start + length - 1n;
  if (last > U64_MAX) return { bytes: 0n, errno: 'EOVERFLOW' };
  return yield* unmapSpan(ioas, { start, last });
}

/** v1: areas end where the range does (feature of type1 v1, a041). Not while a domain takes the areas over or gives them up. */
function* cutEdges(ioas: Ioas, iova: bigint, size: bigint): Op<Result<void>> {
  yield* lockRead(ioas.domainsLock);
  const end = cutAt(ioas, BigInt.asUintN(64, iova + size - 1n));
  const cut = end.ok && iova !== 0n ? cutAt(ioas, iova - 1n) : end;
  yield* unlock(ioas.domainsLock);
  return cut;
}
