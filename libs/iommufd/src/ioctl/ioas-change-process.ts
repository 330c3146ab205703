/** IOMMU_IOAS_CHANGE_PROCESS: the caller takes over what is pinned (live update). */
import { fail, type iommu_ioas_change_process, ok, type StructOf } from '@vfiolab/uapi';
import { call as ask, type IoctlResult, type Op, PAGES, pagesApi } from '@vfiolab/core';
import { isIoas } from '../context.js';
import type { Call } from './call.js';

/**
 * Only memory that belongs to files can change hands. Every area here belongs to the process that mapped it, so a single
 * area anywhere in the context is EINVAL, and a context without areas has nothing to hand over (semantics B3.5).
 * EOPNOTSUPP: reserved; EBUSY: an area is on its way in or out.
 */
export function* ioasChangeProcess(
  call: Call<typeof iommu_ioas_change_process>,
  cmd: StructOf<typeof iommu_ioas_change_process>,
): Op<IoctlResult> {
  if (cmd.__reserved) return fail('EOPNOTSUPP');
  const areas = call.file.context.objects
    .all()
    .filter(isIoas)
    .flatMap((ioas) => [...ioas.areas]);
  if (areas.some((area) => area.state !== 'live')) return fail('EBUSY');
  if (areas.some((area) => area.store!.dmabuf)) return fail('EINVAL');
  const stores = [...new Set(areas.map((area) => area.store!.id))];
  const moved = yield* ask(PAGES, pagesApi.changeProcess, { client: call.client, stores });
  return moved.ok ? ok(0) : moved;
}
