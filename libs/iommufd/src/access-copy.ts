/**
 * Bytes through an access, as a driver copies them (semantics B7.4).
 *
 * Rule: no page has to be pinned before; what was copied before an error stays.
 */
import { fail, ok, type Result } from '@vfiolab/uapi';
import { call as ask, MAX_DMA, type Op, PAGES, pagesApi } from '@vfiolab/core';
import { type Access, byteOf, permits, piecesOf } from './access.js';
import type { Area } from './ioas.js';
import { U64_MAX } from './spans.js';

export interface Copy {
  readonly client: string;
  readonly write: boolean;
  /** Through the pages even where the caller's own address space would do. */
  readonly slow: boolean;
  readonly data: Uint8Array;
}

/**
 * To or from memory behind an IOVA. EINVAL: length 0, being unmapped, or a dma-buf's (c070); EOVERFLOW; ENOENT: a hole, or the access
 * has no IOAS; EPERM: not for this direction; EFAULT.
 */
export function* copy(access: Access, iova: bigint, what: Copy): Op<Result<void>> {
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
