/** ACCESS_RW: bytes through an access, as a driver copies them (semantics B7.4). */
import {
  fail,
  type iommu_test_access_rw,
  MOCK_ACCESS_RW_SLOW_PATH,
  MOCK_ACCESS_RW_WRITE,
  MOCK_FLAGS_ACCESS_SYZ,
  type StructOf,
} from '@vfiolab/uapi';
import type { IoctlResult, Op } from '@vfiolab/core';
import { copy } from '../access-copy.js';
import { accessOf, MAX_ACCESS } from './access-ops.js';
import { done, type TestCall } from './call.js';
import { nthAreaIova } from './syz.js';

type Arm = StructOf<typeof iommu_test_access_rw>;

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
