/** IOMMU_IOAS_NOIOMMU_GET_PA: where an IOVA lies in memory, for devices that have no IOMMU. */
import { fail, type iommu_ioas_noiommu_get_pa, ok, PAGE_SIZE, type StructOf } from '@vfiolab/uapi';
import {
  call as ask,
  CAP_SYS_RAWIO,
  IOMMU,
  iommuApi,
  type IoctlResult,
  lockRead,
  MAX_RUNS,
  type Op,
  PAGES,
  pagesApi,
} from '@vfiolab/core';
import { isIoas } from '../context.js';
import { hold } from '../objects.js';
import { U64_MAX } from '../spans.js';
import type { Call } from './call.js';

const PAGE = BigInt(PAGE_SIZE);

/**
 * Answers the address of the byte and how far memory goes on from there without a gap: to the end of the mapping or of
 * `length` at most. Only a table of devices without an IOMMU is asked (semantics A4.3).
 * EPERM: without CAP_SYS_RAWIO; EOPNOTSUPP: flags, reserved; EINVAL: length; EOVERFLOW: the last IOVA; ENOENT: IOAS, or
 * nothing is mapped there; EOPNOTSUPP: what is mapped there is in an IOMMU's table, or in none; EINVAL: a dma-buf's memory
 * that was taken back.
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
  if (area?.state !== 'live') return fail('ENOENT');
  // The domain that came first keeps the addresses of what all of them map.
  const [storage] = ioas.value.hwpts;
  if (!storage?.noiommu) return fail('EOPNOTSUPP');
  const found = yield* contiguous(storage.domain.domain, cmd.iova, area.last);
  if (!found) return fail('EINVAL');
  const length = found.length < cmd.length ? found.length : cmd.length;
  const told = call.respond({ out_phys: found.address, length });
  return told.ok ? ok(0) : told;
}

/** Memory behind `iova` of a domain, up to the first gap, and to `last` at most. Undefined: nothing is there. */
function* contiguous(domain: number, iova: bigint, last: bigint): Op<{ address: bigint; length: bigint } | undefined> {
  const end = Number(last / PAGE) + 1;
  let [at, first, next] = [Number(iova / PAGE), -1, -1];
  while (at < end) {
    const [run] = yield* ask(IOMMU, iommuApi.lookup, { domain, iova: at, count: Math.min(end - at, MAX_RUNS) });
    if (!run || (first >= 0 && run.frame !== next)) break;
    if (first < 0) first = run.frame;
    next = run.frame + run.count;
    at += run.count;
  }
  if (first < 0) return undefined;
  const offset = iova % PAGE;
  return { address: BigInt(first) * PAGE + offset, length: BigInt(next - first) * PAGE - offset };
}
