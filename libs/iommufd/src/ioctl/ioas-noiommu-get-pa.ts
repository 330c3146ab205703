/** IOMMU_IOAS_NOIOMMU_GET_PA: where an IOVA lies in memory, for devices that have no IOMMU. */
import { fail, type iommu_ioas_noiommu_get_pa, type StructOf } from '@vfiolab/uapi';
import { call as ask, CAP_SYS_RAWIO, type IoctlResult, lockRead, type Op, PAGES, pagesApi } from '@vfiolab/core';
import { isIoas } from '../context.js';
import { hold } from '../objects.js';
import { U64_MAX } from '../spans.js';
import type { Call } from './call.js';

/**
 * Devices without an IOMMU are reached through their group only (semantics A4.2), which maps nothing: whatever is mapped
 * belongs to an IOMMU, whose addresses are nobody's business.
 * EPERM: without CAP_SYS_RAWIO; EOPNOTSUPP: flags, reserved; EINVAL: length; EOVERFLOW: the last IOVA; ENOENT: IOAS, or
 * nothing is mapped there; EOPNOTSUPP: what is mapped there has an IOMMU.
 */
export function* ioasNoiommuGetPa(
  call: Call<typeof iommu_ioas_noiommu_get_pa>,
  cmd: StructOf<typeof iommu_ioas_noiommu_get_pa>,
): Op<IoctlResult> {
  const caps = yield* ask(PAGES, pagesApi.capabilities, { client: call.client });
  if (!(caps & CAP_SYS_RAWIO)) return fail('EPERM');
  if (cmd.flags || cmd.__reserved) return fail('EOPNOTSUPP');
  if (cmd.length === 0n) return fail('EINVAL');
  if (cmd.iova === U64_MAX) return fail('EOVERFLOW');
  const ioas = yield* hold(call.file.context.objects, cmd.ioas_id, isIoas);
  if (!ioas.ok) return ioas;
  yield* lockRead(ioas.value.domainsLock);
  const area = ioas.value.areas.first({ start: cmd.iova, last: cmd.iova });
  return fail(area?.state === 'live' ? 'EOPNOTSUPP' : 'ENOENT');
}
