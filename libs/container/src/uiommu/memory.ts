/**
 * MAP and UNMAP of a domain of 2010, whichever file the call came on.
 *
 * Rule: type1's own functions do it; of their flags only those are known that say what devices may do.
 */
import { lockWrite, type Op, PROT_READ, PROT_WRITE } from '@vfiolab/core';
import { fail, ok, type Result, VFIO_DMA_MAP_FLAG_READ, VFIO_DMA_MAP_FLAG_WRITE } from '@vfiolab/uapi';
import { endOf, PAGE_SHIFT } from '../type1/mappings.js';
import { pinAndMap, unmapAndUnpin } from '../type1/memory.js';
import { inside } from '../type1/spans.js';
import type { Uiommu } from './uiommu.js';

export interface Wanted {
  readonly flags: number;
  readonly vaddr: bigint;
  readonly iova: bigint;
  readonly size: bigint;
}
export interface Range {
  readonly flags: number;
  readonly iova: bigint;
  readonly size: bigint;
}

const ACCESS = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
const TWO64 = 1n << 64n;

/**
 * EINVAL: flags, size, alignment, it wraps, or devices cannot reach it; EEXIST: something is mapped there; ENOSPC: too many
 * mappings; EFAULT, ENOMEM: the memory cannot be pinned.
 */
export function* map({ memory }: Uiommu, client: string, { flags, vaddr, iova, size }: Wanted): Op<Result<number>> {
  if (flags & ~ACCESS || flags === 0 || size === 0n) return fail('EINVAL');
  if (iova + size > TWO64 || vaddr + size > TWO64) return fail('EINVAL');
  yield* lockWrite(memory.lock);
  if (((size | iova | vaddr) & (memory.pageSize - 1n)) !== 0n) return fail('EINVAL');
  const [first, count] = [Number(iova >> PAGE_SHIFT), Number(size >> PAGE_SHIFT)];
  if (!memory.mappings.isFree(first, first + count)) return fail('EEXIST');
  if (memory.mappings.size >= memory.limit) return fail('ENOSPC');
  if (!inside(memory.valid, iova, iova + size - 1n)) return fail('EINVAL');
  const read = flags & VFIO_DMA_MAP_FLAG_READ ? PROT_READ : 0;
  const write = flags & VFIO_DMA_MAP_FLAG_WRITE ? PROT_WRITE : 0;
  const mapped = yield* pinAndMap(memory, { client, va: vaddr, first, count, prot: read | write });
  if (!mapped.ok) return mapped;
  memory.mappings.insert(mapped.value);
  return ok(0);
}

/** Bytes that went. EINVAL: flags, size, alignment, it wraps, or it cuts a mapping. */
export function* unmap({ memory }: Uiommu, { flags, iova, size }: Range): Op<Result<bigint>> {
  if (flags !== 0 || size === 0n || iova + size > TWO64) return fail('EINVAL');
  yield* lockWrite(memory.lock);
  if (((size | iova) & (memory.pageSize - 1n)) !== 0n) return fail('EINVAL');
  const [first, end] = [Number(iova >> PAGE_SHIFT), Number((iova + size) >> PAGE_SHIFT)];
  const found = memory.mappings.overlapping(first, end);
  if (found.some((m) => m.first < first || endOf(m) > end)) return fail('EINVAL');
  yield* unmapAndUnpin(memory, found);
  return ok(BigInt(found.reduce((sum, m) => sum + m.count, 0)) << PAGE_SHIFT);
}
