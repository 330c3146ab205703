/** IOMMU_IOAS_MAP: map the caller's memory. */
import { fail, type iommu_ioas_map, ok, type StructOf } from '@vfiolab/uapi';
import { type IoctlResult, type Op } from '@vfiolab/core';
import { isIoas } from '../context.js';
import { judgeRange, mapUser } from '../map.js';
import { hold } from '../objects.js';
import { U64_MAX } from '../spans.js';
import type { Call } from './call.js';
import { FIXED, KNOWN_MAP_FLAGS, protOf, WRITEABLE } from './map-flags.js';

/**
 * The order of checks is the kernel's (uAPI section 1): EOPNOTSUPP: flags, reserved; EOVERFLOW: the ends; EINVAL: no
 * protection; ENOENT; EOVERFLOW, EINVAL: the memory's range; EINVAL, EOVERFLOW, EEXIST, ENOSPC: the place; EFAULT, ENOMEM:
 * the pages.
 */
export function* ioasMap(call: Call<typeof iommu_ioas_map>, cmd: StructOf<typeof iommu_ioas_map>): Op<IoctlResult> {
  if (cmd.flags & ~KNOWN_MAP_FLAGS || cmd.__reserved) return fail('EOPNOTSUPP');
  if (cmd.iova === U64_MAX || cmd.length === U64_MAX) return fail('EOVERFLOW');
  const prot = protOf(cmd.flags);
  if (prot === 0) return fail('EINVAL');
  const ioas = yield* hold(call.file.context.objects, cmd.ioas_id, isIoas);
  if (!ioas.ok) return ioas;
  const judged = judgeRange(cmd.user_va, cmd.length, call.file.flags);
  if (!judged.ok) return judged;
  const range = {
    client: call.client,
    va: cmd.user_va,
    length: cmd.length,
    prot,
    writable: (cmd.flags & WRITEABLE) !== 0,
    rlimitMode: call.file.context.rlimitMode,
  };
  const iova = yield* mapUser(ioas.value, range, cmd.flags & FIXED ? cmd.iova : undefined);
  if (!iova.ok) return iova;
  const told = call.respond({ iova: iova.value });
  return told.ok ? ok(0) : told;
}
