/** VFIO_IOMMU_MAP_DMA: memory of the caller for the devices, or a new address for memory that is mapped. */
import {
  fail,
  ok,
  type StructOf,
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_VADDR,
  VFIO_DMA_MAP_FLAG_WRITE,
  type vfio_iommu_type1_dma_map,
} from '@vfiolab/uapi';
import {
  call as ask,
  type IoctlCall,
  type IoctlResult,
  type Op,
  PAGES,
  pagesApi,
  PROT_READ,
  PROT_WRITE,
} from '@vfiolab/core';
import { isTrackable } from '../dirty-bitmap.js';
import { PAGE_SHIFT } from '../mappings.js';
import { pinAndMap, unmapAndUnpin, type Wanted } from '../memory.js';
import { inside } from '../spans.js';
import type { Type1 } from '../type1.js';

const ACCESS = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
const TWO64 = 1n << 64n;

/**
 * EINVAL: argsz, flags, size, alignment, outside of the valid ranges; EOVERFLOW: it wraps; EEXIST: something is mapped
 * there; ENOSPC: dma_entry_limit; EFAULT, ENOMEM: the memory cannot be pinned. With VADDR: ENOENT: nothing is mapped there;
 * EINVAL: not this range, or its address is valid; ENOMEM: the new process's limit.
 */
export function* mapDma(
  call: IoctlCall<Type1, typeof vfio_iommu_type1_dma_map>,
  cmd: StructOf<typeof vfio_iommu_type1_dma_map>,
): Op<IoctlResult> {
  const { file: type1, client } = call;
  const { flags, vaddr, iova, size } = cmd;
  if (flags & ~(ACCESS | VFIO_DMA_MAP_FLAG_VADDR) || size === 0n) return fail('EINVAL');
  if (iova + size > TWO64 || vaddr + size > TWO64)
    return fail(type1.host.flags.wrapIsOverflow ? 'EOVERFLOW' : 'EINVAL');
  const setsVaddr = (flags & VFIO_DMA_MAP_FLAG_VADDR) !== 0;
  if (setsVaddr === ((flags & ACCESS) !== 0)) return fail('EINVAL');
  yield type1.lock.writing;
  if (((size | iova | vaddr) & (type1.pageSize - 1n)) !== 0n) return fail('EINVAL');
  const read = flags & VFIO_DMA_MAP_FLAG_READ ? PROT_READ : 0;
  const write = flags & VFIO_DMA_MAP_FLAG_WRITE ? PROT_WRITE : 0;
  const [first, count] = [Number(iova >> PAGE_SHIFT), Number(size >> PAGE_SHIFT)];
  const wanted: Wanted = { client, va: vaddr, first, count, prot: read | write };
  if (setsVaddr) return yield* setVaddr(type1, wanted);
  if (!type1.mappings.isFree(first, first + count)) return fail('EEXIST');
  if (type1.mappings.size >= type1.limit) return fail('ENOSPC');
  if (!inside(type1.valid, iova, iova + size - 1n)) return fail('EINVAL');
  const mapped = yield* pinAndMap(type1, wanted);
  if (!mapped.ok) return mapped;
  type1.mappings.insert(mapped.value);
  if (!type1.tracking || isTrackable(count)) return ok(0);
  yield* unmapAndUnpin(type1, [mapped.value]);
  return fail('EINVAL');
}

/** The memory stays as it is pinned; its charge moves when another process gives the address (semantics B3.7). */
function* setVaddr(type1: Type1, { client, va, first, count }: Wanted): Op<IoctlResult> {
  const [mapping] = type1.mappings.overlapping(first, first + count);
  if (!mapping) return fail('ENOENT');
  if (!mapping.vaddrInvalid || mapping.first !== first || mapping.count !== count) return fail('EINVAL');
  const moved = yield* ask(PAGES, pagesApi.storeMove, { store: mapping.store, client, va });
  if (!moved.ok) return moved;
  mapping.client = client;
  mapping.vaddrInvalid = false;
  type1.invalid--;
  return ok(0);
}
