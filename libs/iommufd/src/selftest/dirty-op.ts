/** DIRTY: marks pages as a mock device's writes do. */
import { fail, iommu_test_dirty, type Result, type StructOf } from '@vfiolab/uapi';
import { call as ask, IOMMU, iommuApi, type IoctlResult, type Op } from '@vfiolab/core';
import type { PagingHwpt } from '../hwpt.js';
import { answer, done, holdMock, type TestCall } from './call.js';

type Arm = StructOf<typeof iommu_test_dirty>;

/** Bits of one call at most. */
const MAX_BITS = 16n * 1024n * 1024n * 8n;

/** A page number beyond every mock domain's aperture, which a message can still carry. */
const FAR = 1n << 52n;

/** EINVAL: page_size or length 0, misaligned, no bitmap, or tracking is off; EOVERFLOW; ENOENT; EFAULT. */
export function* dirtyOp(call: TestCall, id: number, arm: Arm): Op<IoctlResult> {
  const { iova, length, page_size: size, uptr } = arm;
  if (size === 0n || length === 0n || iova % size !== 0n || length % size !== 0n || uptr === 0n) return fail('EINVAL');
  const bits = length / size;
  if (bits > MAX_BITS) return fail('EOVERFLOW');
  const hwpt = yield* holdMock(call, id);
  if (!hwpt.ok) return hwpt;
  const given = call.user.read(uptr, Number((bits + 7n) / 8n));
  // Without the caller's bits the driver still says first whether it tracks at all.
  const bitmap = given ? only(given, Number(bits)) : new Uint8Array(0);
  const mark = call.file.flags.mockMarksByAddress ? markAddresses : markNumbers;
  const marked = yield* mark(hwpt.value, arm, bitmap);
  if (!marked.ok) return marked;
  if (!given) return fail('EFAULT');
  const count = call.file.flags.mockCountsGivenBits ? popcount(bitmap) : marked.value;
  const told = answer(call, iommu_test_dirty, arm, { out_nr_dirty: BigInt(count) });
  return told.ok ? done : told;
}

/** Bit 0 stands for page number iova / page_size, whatever the mock's own page is, and the next bits for the next pages. */
function* markNumbers({ domainId }: PagingHwpt, { iova, page_size }: Arm, bitmap: Uint8Array): Op<Result<number>> {
  const page = iova / page_size;
  const args = { domain: domainId, first: Number(page < FAR ? page : FAR), bitmap };
  return yield* ask(IOMMU, iommuApi.dirtyMark, args);
}

/** Bit i stands for the mock's page at iova + i * page_size (c023). What lies beyond the aperture is not mapped. */
function* markAddresses(hwpt: PagingHwpt, { iova, page_size }: Arm, bitmap: Uint8Array): Op<Result<number>> {
  const { granule, last } = hwpt.domain;
  const [start, step, end] = [Number(iova), Number(page_size), Number(last)];
  let batch = { domain: hwpt.domainId, first: 0, bitmap: new Uint8Array(0) };
  for (let i = 0; i < bitmap.length * 8 && start + i * step <= end; i++) {
    if (((bitmap[i >> 3]! >> (i & 7)) & 1) === 0) continue;
    const page = Math.floor((start + i * step) / 2 ** granule);
    if (page >= batch.first + batch.bitmap.length * 8) {
      const marked = yield* ask(IOMMU, iommuApi.dirtyMark, batch);
      if (!marked.ok) return marked;
      batch = { ...batch, first: page, bitmap: new Uint8Array(BATCH_BYTES) };
    }
    const at = page - batch.first;
    batch.bitmap[at >> 3]! |= 1 << (at & 7);
  }
  return yield* ask(IOMMU, iommuApi.dirtyMark, batch);
}

/** Bytes of one message about pages that are apart. */
const BATCH_BYTES = 4096;

/** The first `bits` bits. */
function only(bitmap: Uint8Array, bits: number): Uint8Array {
  const out = bitmap.slice();
  const over = out.length * 8 - bits;
  if (over > 0) out[out.length - 1]! &= 0xff >> over;
  return out;
}

const popcount = (bitmap: Uint8Array): number => {
  let n = 0;
  for (const byte of bitmap) for (let b = byte; b !== 0; b &= b - 1) n++;
  return n;
};
