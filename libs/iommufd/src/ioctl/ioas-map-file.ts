/** IOMMU_IOAS_MAP_FILE: map pages of a file, whoever has them mapped (semantics B8.1). */
import { fail, type iommu_ioas_map_file, ok, type StructOf } from '@vfiolab/uapi';
import { type IoctlResult, type Op, PAGES } from '@vfiolab/core';
import { isIoas } from '../context.js';
import { judgeRange, mapUser } from '../map.js';
import { hold } from '../objects.js';
import { U64_MAX } from '../spans.js';
import type { Call } from './call.js';
import { FIXED, KNOWN_MAP_FLAGS, protOf, WRITEABLE } from './map-flags.js';

/**
 * The order of checks is the kernel's (trace c061): flags, ends, protection, IOAS, range, and only then the fd. How the
 * file was opened does not matter: a read-only fd may be mapped for writing (trace c064).
 */
export function* ioasMapFile(
  call: Call<typeof iommu_ioas_map_file>,
  cmd: StructOf<typeof iommu_ioas_map_file>,
): Op<IoctlResult> {
  if (cmd.flags & ~KNOWN_MAP_FLAGS) return fail('EOPNOTSUPP');
  if (cmd.iova === U64_MAX || cmd.length === U64_MAX) return fail('EOVERFLOW');
  const prot = protOf(cmd.flags);
  if (prot === 0) return fail('EINVAL');
  const ioas = yield* hold(call.file.context.objects, cmd.ioas_id, isIoas);
  if (!ioas.ok) return ioas;
  const judged = judgeRange(cmd.start, cmd.length, call.file.flags);
  if (!judged.ok) return judged;
  const file = call.fds.find(({ fd }) => fd === cmd.fd);
  if (!file) return fail('EBADF');
  const range = {
    client: call.client,
    va: cmd.start,
    length: cmd.length,
    prot,
    writable: (cmd.flags & WRITEABLE) !== 0,
    rlimitMode: call.file.context.rlimitMode,
    file: { token: file.owner === PAGES ? file.token : undefined },
  };
  const iova = yield* mapUser(ioas.value, range, cmd.flags & FIXED ? cmd.iova : undefined);
  if (!iova.ok) return iova;
  const told = call.respond({ iova: iova.value });
  return told.ok ? ok(0) : told;
}
