/** IOMMU_OPTION: get or set one option. */
import { fail, type iommu_option, ok, type Result, type StructOf } from '@vfiolab/uapi';
import {
  call as callService,
  CAP_SYS_RESOURCE,
  DONE,
  type IoctlResult,
  lockWrite,
  type Op,
  PAGES,
  pagesApi,
  RLIMIT_MM,
  RLIMIT_USER,
} from '@vfiolab/core';
import { isIoas } from '../context.js';
import type { Ioas } from '../ioas.js';
import { hold } from '../objects.js';
import type { Call } from './call.js';

const OPTION_RLIMIT_MODE = 0;
const OPTION_HUGE_PAGES = 1;
const OP_SET = 0;
const OP_GET = 1;

type Cmd = StructOf<typeof iommu_option>;

/**
 * EOPNOTSUPP: reserved, option, op, RLIMIT_MODE of an object; EPERM: RLIMIT_MODE without CAP_SYS_RESOURCE; EBUSY: RLIMIT_MODE
 * when objects exist; EINVAL: the value, or HUGE_PAGES off once domains hold areas; EADDRINUSE: HUGE_PAGES off over an area
 * that is not page aligned; ENOENT.
 */
export function option(call: Call<typeof iommu_option>, cmd: Cmd): IoctlResult | Op<IoctlResult> {
  if (cmd.__reserved) return fail('EOPNOTSUPP');
  if (cmd.option_id === OPTION_RLIMIT_MODE) return rlimitMode(call, cmd);
  return cmd.option_id === OPTION_HUGE_PAGES ? hugePagesOf(call, cmd) : fail('EOPNOTSUPP');
}

/** Tells the value in force. */
function tell(call: Call<typeof iommu_option>, value: Result<bigint>): IoctlResult {
  if (!value.ok) return value;
  const told = call.respond({ val64: value.value });
  return told.ok ? DONE : told;
}

function rlimitMode(call: Call<typeof iommu_option>, cmd: Cmd): IoctlResult | Op<IoctlResult> {
  if (cmd.object_id) return fail('EOPNOTSUPP');
  if (cmd.op === OP_GET) return tell(call, ok(BigInt(call.file.context.rlimitMode)));
  return cmd.op === OP_SET ? setRlimitMode(call, cmd) : fail('EOPNOTSUPP');
}

function* setRlimitMode(call: Call<typeof iommu_option>, cmd: Cmd): Op<IoctlResult> {
  const { context } = call.file;
  const caps = yield* callService(PAGES, pagesApi.capabilities, { client: call.client });
  if (!(caps & CAP_SYS_RESOURCE)) return fail('EPERM');
  if (context.objects.size > 0) return fail('EBUSY');
  if (cmd.val64 !== 0n && cmd.val64 !== 1n) return fail('EINVAL');
  context.rlimitMode = cmd.val64 === 1n ? RLIMIT_MM : RLIMIT_USER;
  return tell(call, ok(cmd.val64));
}

function* hugePagesOf(call: Call<typeof iommu_option>, cmd: Cmd): Op<IoctlResult> {
  const ioas = yield* hold(call.file.context.objects, cmd.object_id, isIoas);
  return ioas.ok ? tell(call, yield* hugePages(ioas.value, cmd)) : ioas;
}

function* hugePages(ioas: Ioas, cmd: Cmd): Op<Result<bigint>> {
  if (cmd.op === OP_GET) return ok(ioas.hugePages ? 1n : 0n);
  if (cmd.op !== OP_SET) return fail('EOPNOTSUPP');
  if (cmd.val64 > 1n) return fail('EINVAL');
  yield* lockWrite(ioas.domainsLock);
  const set = cmd.val64 === 1n ? enableHugePages(ioas) : disableHugePages(ioas);
  return set.ok ? ok(cmd.val64) : set;
}

function enableHugePages(ioas: Ioas): Result<void> {
  ioas.hugePages = true;
  ioas.alignment = ioas.wantedAlignment();
  return ok(undefined);
}

/** EINVAL once domains hold areas; EADDRINUSE when an area is not page aligned. */
export function disableHugePages(ioas: Ioas): Result<void> {
  if (!ioas.hugePages) return ok(undefined);
  if (ioas.hwpts.length > 0 && ioas.areas.size > 0) return fail('EINVAL');
  ioas.hugePages = false;
  const alignment = ioas.wantedAlignment();
  const conforms = ioas.checkAlignment(alignment);
  if (conforms.ok) ioas.alignment = alignment;
  else ioas.hugePages = true;
  return conforms;
}
