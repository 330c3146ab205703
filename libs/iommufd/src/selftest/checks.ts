/** Ops that compare: IOPTEs with the caller's pages, pin counts, IOTLB slots. They look at the state that devices use. */
import {
  type Errno,
  fail,
  type iommu_test_check_iotlb,
  type iommu_test_check_map,
  type iommu_test_check_refs,
  PAGE_SIZE,
  type StructOf,
} from '@vfiolab/uapi';
import {
  call as ask,
  IOMMU,
  iommuApi,
  type IoctlResult,
  MAX_RUNS,
  type Op,
  PAGES,
  pagesApi,
  type Run,
} from '@vfiolab/core';
import { isNested } from '../context.js';
import type { PagingHwpt } from '../hwpt.js';
import { min } from '../ioas.js';
import { hold } from '../objects.js';
import { U64_MAX } from '../spans.js';
import { done, holdMock, type TestCall } from './call.js';

const PAGE = BigInt(PAGE_SIZE);
/** Bytes compared at a time. */
const PIECE = (BigInt(MAX_RUNS) * PAGE) / 4n;

const framesOf = (runs: readonly Run[]): number[] =>
  runs.flatMap(({ frame, count }) => Array.from({ length: count }, (_, i) => frame + i));

/** The page of a mock domain that nobody asked to be different. */
const MOCK_PAGE = 2048n;

/** Every IOPTE must lead to the page behind `uptr`. EINVAL: one does not, or misaligned; EFAULT: no page there; ENOENT. */
export function* checkMap(call: TestCall, id: number, arm: StructOf<typeof iommu_test_check_map>): Op<IoctlResult> {
  if (!call.file.flags.mockLooksUpFirst && misaligned(arm, MOCK_PAGE)) return fail('EINVAL');
  const hwpt = yield* holdMock(call, id);
  if (!hwpt.ok) return hwpt;
  if (misaligned(arm, 1n << BigInt(hwpt.value.domain.granule))) return fail('EINVAL');
  for (let at = 0n; at < arm.length; at += PIECE) {
    const length = min(PIECE, arm.length - at);
    const errno = yield* comparePiece(call, hwpt.value, arm.iova + at, arm.uptr + at, length);
    if (errno) return fail(errno);
  }
  return done;
}

const misaligned = ({ iova, length, uptr }: StructOf<typeof iommu_test_check_map>, page: bigint): boolean =>
  ((iova | length | uptr) & (page - 1n)) !== 0n || uptr + length > U64_MAX;

function* comparePiece(
  call: TestCall,
  hwpt: PagingHwpt,
  iova: bigint,
  uptr: bigint,
  length: bigint,
): Op<Errno | undefined> {
  const shift = BigInt(hwpt.domain.granule);
  const count = Number(length >> shift);
  const wanted = yield* granulesOf(call.client, uptr, count, shift);
  const args = { domain: hwpt.domainId, iova: Number(iova >> shift), count };
  const found = framesOf(yield* ask(IOMMU, iommuApi.lookup, args));
  for (let i = 0; i < count; i++) {
    if (wanted[i] === undefined) return 'EFAULT';
    if (wanted[i] !== found[i]) return 'EINVAL';
  }
  return undefined;
}

/** Granules behind the caller's memory, up to the first page that is not there. */
function* granulesOf(client: string, uptr: bigint, count: number, shift: bigint): Op<number[]> {
  const perPage = Number(PAGE >> shift);
  const page = Number(uptr / PAGE);
  const skipped = Number((uptr % PAGE) >> shift);
  const pages = Math.ceil((skipped + count) / perPage);
  const frames = framesOf(yield* ask(PAGES, pagesApi.pageFrames, { client, page, count: pages }));
  return frames.flatMap((f) => Array.from({ length: perPage }, (_, i) => f * perPage + i)).slice(skipped);
}

/** Every page must be pinned `refs` times; hugetlb pages are not looked at. EIO: one is not; EINVAL: misaligned; EFAULT. */
export function* checkRefs(
  call: TestCall,
  _id: number,
  { length, uptr, refs }: StructOf<typeof iommu_test_check_refs>,
): Op<IoctlResult> {
  if ((length | uptr) % PAGE !== 0n || uptr + length > U64_MAX) return fail('EINVAL');
  for (let at = 0n; at < length;) {
    const count = Number(min(length - at, BigInt(MAX_RUNS) * PAGE) / PAGE);
    const page = Number((uptr + at) / PAGE);
    const found = yield* ask(PAGES, pagesApi.pagePins, { client: call.client, page, count });
    if (found.some((p) => !p.huge && p.pins !== refs)) return fail('EIO');
    const seen = found.reduce((sum, p) => sum + p.count, 0);
    if (seen < count) return fail('EFAULT');
    at += BigInt(seen) * PAGE;
  }
  return done;
}

/** One slot of a nested HWPT's IOTLB must hold the value. ENOENT; EINVAL: it does not, or there is no such slot. */
export function* checkIotlb(call: TestCall, id: number, arm: StructOf<typeof iommu_test_check_iotlb>): Op<IoctlResult> {
  const hwpt = yield* hold(call.file.context.objects, id, isNested);
  if (!hwpt.ok) return hwpt;
  const slots = yield* ask(IOMMU, iommuApi.mockIotlb, { domain: hwpt.value.domainId });
  return slots[arm.id] === arm.iotlb ? done : fail('EINVAL');
}
