/** ACCESS_RW: bytes through an access, as a driver copies them (semantics B7.4). */
import {
  fail,
  type iommu_test_access_rw,
  MOCK_ACCESS_RW_SLOW_PATH,
  MOCK_ACCESS_RW_WRITE,
  MOCK_FLAGS_ACCESS_SYZ,
  ok,
  type Result,
  type StructOf,
} from '@vfiolab/uapi';
import { call as ask, type IoctlResult, MAX_DMA, type Op, PAGES, pagesApi } from '@vfiolab/core';
import { type Access, byteOf, permits, piecesOf } from '../access.js';
import type { Area } from '../ioas.js';
import { U64_MAX } from '../spans.js';
import { accessOf, MAX_ACCESS } from './access-ops.js';
import { done, type TestCall } from './call.js';
import { nthAreaIova } from './syz.js';

type Arm = StructOf<typeof iommu_test_access_rw>;

interface Copy {
  readonly client: string;
  readonly write: boolean;
  /** Through the pages even where the caller's own address space would do. */
  readonly slow: boolean;
  readonly data: Uint8Array;
}

/**
 * ENOMEM: over 16 MiB; EOPNOTSUPP: flags; EBADFD; EFAULT: the caller's buffer, or the memory behind the IOVA; EINVAL: length
 * 0, being unmapped, or a dma-buf's (c070); EOVERFLOW; ENOENT: a hole; EPERM: not for this direction. What was copied before stays.
 */
export function* accessRw(call: TestCall, fd: number, arm: Arm): Op<IoctlResult> {
  const { length, uptr, flags } = arm;
  if (length > MAX_ACCESS) return fail('ENOMEM');
  if (flags & ~(MOCK_ACCESS_RW_WRITE | MOCK_ACCESS_RW_SLOW_PATH | MOCK_FLAGS_ACCESS_SYZ)) return fail('EOPNOTSUPP');
  const access = accessOf(call, fd);
  if (!access.ok) return access;
  const write = (flags & MOCK_ACCESS_RW_WRITE) !== 0;
  const given = write ? call.user.read(uptr, Number(length)) : new Uint8Array(Number(length));
  if (!given) return fail('EFAULT');
  const iova = flags & MOCK_FLAGS_ACCESS_SYZ ? nthAreaIova(access.value.ioas, arm.iova) : arm.iova;
  const slow = (flags & MOCK_ACCESS_RW_SLOW_PATH) !== 0;
  const copied = yield* copy(access.value, iova, { client: call.client, write, slow, data: given });
  if (!copied.ok) return copied;
  return write || call.user.write(uptr, given) ? done : fail('EFAULT');
}

function* copy(access: Access, iova: bigint, what: Copy): Op<Result<void>> {
  const length = BigInt(what.data.length);
  if (length === 0n) return fail('EINVAL');
  const last = iova + length - 1n;
  if (last > U64_MAX) return fail('EOVERFLOW');
  if (!access.ioas) return fail('ENOENT');
  const { pieces, rest } = piecesOf(access.ioas, { start: iova, last });
  for (const { area, start, last: end } of pieces) {
    if (area.state !== 'live') return fail('EINVAL');
    if (!permits(area, what.write)) return fail('EPERM');
    if (area.store!.dmabuf) return fail('EINVAL');
    const data = what.data.subarray(Number(start - iova), Number(end - iova) + 1);
    area.accesses++;
    const copied = yield* copyArea(area, byteOf(area, start), { ...what, data });
    area.accesses--;
    if (!copied.ok) return copied;
  }
  return rest;
}

/** One area's part, in messages of their greatest size. */
function* copyArea(area: Area, from: bigint, { client, write, slow, data }: Copy): Op<Result<void>> {
  for (let done = 0; done < data.length; done += MAX_DMA) {
    const part = data.subarray(done, done + MAX_DMA);
    const where = { store: area.store!.id, at: from + BigInt(done), client, slow };
    if (write) {
      const written = yield* ask(PAGES, pagesApi.storeWrite, { ...where, data: part });
      if (!written.ok) return written;
      continue;
    }
    const read = yield* ask(PAGES, pagesApi.storeRead, { ...where, length: part.length });
    if (!read.ok) return read;
    part.set(read.value);
  }
  return ok(undefined);
}
