/**
 * The VFIO container's ioctls without a struct, as an iommufd answers them (SURPRISES 24, 26).
 *
 * Rule: they act on the context's compatibility IOAS; without one most are ENODEV.
 */
import {
  errnoNumber,
  fail,
  ok,
  type Result,
  VFIO_API_VERSION,
  VFIO_CHECK_EXTENSION,
  VFIO_DMA_CC_IOMMU,
  VFIO_GET_API_VERSION,
  VFIO_NOIOMMU_IOMMU,
  VFIO_SET_IOMMU,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1v2_IOMMU,
  VFIO_UNMAP_ALL,
} from '@vfiolab/uapi';
import { isOp, type IoctlReply, lockWrite, type Op } from '@vfiolab/core';
import type { Context } from '../context.js';
import { disableHugePages } from '../ioctl/option.js';
import { mayGoWithoutIommu } from './group.js';

type Answer = Result<number> | Op<Result<number>>;
interface Called {
  readonly context: Context;
  readonly client: string;
}
type Plain = (called: Called, arg: number) => Answer;
const PLAIN: ReadonlyMap<number, Plain> = new Map<number, Plain>([
  [VFIO_GET_API_VERSION.nr, () => ok(VFIO_API_VERSION)],
  [VFIO_CHECK_EXTENSION.nr, checkExtension],
  [VFIO_SET_IOMMU.nr, setIommu],
]);

/** The answer to a plain compatibility ioctl; undefined: the number is none. */
export function answerPlain(called: Called, cmd: number, arg: number): IoctlReply | Op<IoctlReply> | undefined {
  const answer = PLAIN.get(cmd)?.(called, arg);
  if (answer === undefined) return undefined;
  return isOp(answer) ? later(answer as Op<Result<number>>) : replyOf(answer);
}

function* later(op: Op<Result<number>>): Op<IoctlReply> {
  return replyOf(yield* op);
}

const replyOf = (r: Result<number>): IoctlReply => ({
  errno: r.ok ? 0 : errnoNumber(r.errno),
  ret: r.ok ? r.value : 0,
  writes: [],
  file: undefined,
});

/** 1 or 0. ENODEV: the question is about domains, and there is no IOAS. */
function checkExtension({ context: { compatIoas, noiommu } }: Called, extension: number): Result<number> {
  switch (extension) {
    case VFIO_TYPE1_IOMMU:
    case VFIO_TYPE1v2_IOMMU:
    case VFIO_UNMAP_ALL:
      return ok(noiommu ? 0 : 1);
    case VFIO_NOIOMMU_IOMMU:
      return ok(1);
    case VFIO_DMA_CC_IOMMU:
      // One domain that does not enforce it makes the answer no (semantics C4.2).
      return compatIoas ? ok(compatIoas.hwpts.every(({ domain }) => domain.coherent) ? 1 : 0) : fail('ENODEV');
    default:
      return ok(0);
  }
}

/**
 * v1 may unmap parts of what was mapped, so large pages are turned off for good. EPERM: without an IOMMU, and no
 * CAP_SYS_RAWIO; EINVAL: another type, or v1 once domains hold areas; ENODEV: no IOAS; EADDRINUSE: an area is not on pages.
 */
function* setIommu({ context: { compatIoas, noiommu }, client }: Called, type: number): Op<Result<number>> {
  if (noiommu && type === VFIO_NOIOMMU_IOMMU) return (yield* mayGoWithoutIommu(client)) ? ok(0) : fail('EPERM');
  if (noiommu || (type !== VFIO_TYPE1_IOMMU && type !== VFIO_TYPE1v2_IOMMU)) return fail('EINVAL');
  if (!compatIoas) return fail('ENODEV');
  if (type === VFIO_TYPE1v2_IOMMU) return ok(0);
  yield* lockWrite(compatIoas.domainsLock);
  const disabled = disableHugePages(compatIoas);
  return disabled.ok ? ok(0) : disabled;
}
